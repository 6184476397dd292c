#include "values.h"

#include <cmath>

namespace pm::binding {

Napi::Value property(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  if (value.IsUndefined() || value.IsNull()) throw Refusal(std::string(name) + " is missing");
  return value;
}

double number(const Napi::Object& object, const char* name) {
  const Napi::Value value = property(object, name);
  if (!value.IsNumber()) throw Refusal(std::string(name) + " is not a number");
  return value.As<Napi::Number>().DoubleValue();
}

int32_t integer(const Napi::Object& object, const char* name) {
  const double value = number(object, name);
  if (value != std::floor(value) || std::fabs(value) > 2147483647.0)
    throw Refusal(std::string(name) + " is " + std::to_string(value) + ", expected a 32-bit integer");
  return (int32_t)value;
}

bool boolean(const Napi::Object& object, const char* name) {
  const Napi::Value value = property(object, name);
  if (!value.IsBoolean()) throw Refusal(std::string(name) + " is not a boolean");
  return value.As<Napi::Boolean>().Value();
}

std::string text(const Napi::Object& object, const char* name) {
  const Napi::Value value = property(object, name);
  if (!value.IsString()) throw Refusal(std::string(name) + " is not a string");
  return value.As<Napi::String>().Utf8Value();
}

uint64_t byteOffset(const Napi::Object& object, const char* name) {
  const double offset = number(object, name);
  if (!(offset >= 0 && offset <= 9007199254740991.0)) throw Refusal(std::string(name) + " is out of range");
  return (uint64_t)offset;
}

bool has(const Napi::Object& object, const char* name) {
  const Napi::Value value = object.Get(name);
  return !value.IsUndefined() && !value.IsNull();
}

}  // namespace pm::binding

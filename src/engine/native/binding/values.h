// Values of JavaScript objects, each of the expected type. What is missing or of another type throws a Refusal that
// names it; the exported functions turn those into JavaScript errors.
#pragma once

#include <napi.h>

#include <cstdint>
#include <stdexcept>
#include <string>
#include <type_traits>
#include <vector>

namespace pm::binding {

using Refusal = std::invalid_argument;

Napi::Value property(const Napi::Object& object, const char* name);
double number(const Napi::Object& object, const char* name);
int32_t integer(const Napi::Object& object, const char* name);
bool boolean(const Napi::Object& object, const char* name);
std::string text(const Napi::Object& object, const char* name);
// Bytes from the start of a file.
uint64_t byteOffset(const Napi::Object& object, const char* name);
// Whether it is there and neither undefined nor null.
bool has(const Napi::Object& object, const char* name);

// A typed array's data and length, of exactly the expected element type.
template <class T>
T* array(const Napi::Value& value, const char* name, size_t* length) {
  constexpr napi_typedarray_type expected = std::is_same_v<T, float>      ? napi_float32_array
                                            : std::is_same_v<T, uint32_t> ? napi_uint32_array
                                                                          : napi_int32_array;
  constexpr const char* kind = expected == napi_float32_array ? "a Float32Array" : expected == napi_uint32_array ? "a Uint32Array" : "an Int32Array";
  napi_typedarray_type type;
  void* data = nullptr;
  if (!value.IsTypedArray() ||
      napi_get_typedarray_info(value.Env(), value, &type, length, &data, nullptr, nullptr) != napi_ok || type != expected)
    throw Refusal(std::string(name) + " is not " + kind);
  return static_cast<T*>(data);
}

template <class T>
T* array(const Napi::Object& object, const char* name, size_t* length) {
  return array<T>(property(object, name), name, length);
}

// A copy of a typed array that must have `length` elements.
template <class T>
std::vector<T> copied(const Napi::Object& object, const char* name, size_t length = ~size_t{0}) {
  size_t found = 0;
  const T* data = array<T>(object, name, &found);
  if (length != ~size_t{0} && found != length)
    throw Refusal(std::string(name) + " has " + std::to_string(found) + " elements, expected " + std::to_string(length));
  return std::vector<T>(data, data + found);
}

template <class T>
size_t indexOf(const std::string& name, const char* what, const T& names) {
  for (size_t i = 0; i < std::size(names); i++)
    if (name == names[i]) return i;
  throw Refusal(std::string(what) + " has the unknown value '" + name + "'");
}

// Runs the body; its C++ exceptions become JavaScript errors.
template <class Body>
Napi::Value guarded(const Napi::CallbackInfo& info, const Body& body) {
  try {
    return body();
  } catch (const Napi::Error&) {
    throw;
  } catch (const std::exception& error) {
    throw Napi::Error::New(info.Env(), error.what());
  }
}

// Runs the body; a Refusal then says which argument it is about.
template <class Body>
void reading(const char* argument, const Body& body) {
  try {
    body();
  } catch (const Refusal& refusal) {
    throw Refusal(std::string(argument) + ": " + refusal.what());
  }
}

}  // namespace pm::binding

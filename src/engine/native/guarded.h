/* The border between C++ and the C interface: no exception crosses it. */
#ifndef POINTSMAN_GUARDED_H
#define POINTSMAN_GUARDED_H

#include <cstddef>
#include <cstdio>
#include <exception>
#include <new>

namespace pm {

/* Runs `body`. Returns 0, or 1 with what it threw in `error`, cut to `size` bytes with the final zero. */
template <class Body>
int guarded(char* error, size_t size, const Body& body) {
  const auto fail = [&](const char* message) {
    if (size) snprintf(error, size, "%s", message);
    return 1;
  };
  try {
    body();
    return 0;
  } catch (const std::bad_alloc&) {
    return fail("out of main memory");
  } catch (const std::exception& exception) {
    return fail(exception.what());
  } catch (...) {
    return fail("unknown error");
  }
}

}  // namespace pm

#endif

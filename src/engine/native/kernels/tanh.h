// The hyperbolic tangent on a Vec. Include after simd.h.
#pragma once

#include "simd.h"

namespace pm::PM_ISA {

// tanh x, relative error below 3e-7. Near zero an odd polynomial (Cephes tanhf), where 1 - 2 / (e^2x + 1) would
// cancel; exactly +-1 beyond 9.
PM_INLINE Vec tanh(Vec x) {
  const Vec one = set1(1.0f), size = max(x, sub(zero(), x));
  const Vec doubled = min(add(size, size), set1(18.0f));
  const Vec far = sub(one, div(set1(2.0f), add(exp(doubled), one)));
  const Vec square = mul(x, x);
  Vec p = set1(-5.70498872745e-3f);
  p = fma(p, square, set1(2.06390887954e-2f));
  p = fma(p, square, set1(-5.37397155531e-2f));
  p = fma(p, square, set1(1.33314422036e-1f));
  p = fma(p, square, set1(-3.33332819422e-1f));
  const Vec near = fma(mul(p, square), x, x);
  const Vec signedFar = select(greaterMask(zero(), x), sub(zero(), far), far);
  return select(greaterMask(size, set1(0.625f)), signedFar, near);
}

// cap * tanh(x / cap): close to x near zero, never beyond +-cap (Gemma 2).
PM_INLINE Vec softcap(Vec x, Vec cap) { return mul(tanh(div(x, cap)), cap); }

}  // namespace pm::PM_ISA

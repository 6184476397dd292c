// How the loops of a step are cut into chunks for the thread pool.
#pragma once

#include <algorithm>
#include <cstddef>

#include "decoder.h"

namespace pm {

constexpr size_t kRowUnit = 32;   // rows of a block are a multiple: two tiles of AMX
constexpr size_t kLightRows = 8;  // rows per chunk of elementwise stages

inline size_t ceilDiv(size_t a, size_t b) { return (a + b - 1) / b; }

// Cuts [rows] x [panels] into rectangles: row blocks of equal height, groups of panels, fewer when threads
// would idle.
struct Cut {
  size_t rows, panels, rowStep, panelStep, groups;

  Cut(size_t rows, size_t rowBlock, size_t panels, int threads, size_t unit) : rows(rows), panels(panels) {
    const size_t blocks = ceilDiv(rows, rowBlock);
    rowStep = std::min(rowBlock, ceilDiv(ceilDiv(rows, blocks), kRowUnit) * kRowUnit);
    panelStep = kPanelGroup;
    while (panelStep > unit && blocks * ceilDiv(panels, panelStep) < (size_t)threads * 3) panelStep /= 2;
    groups = ceilDiv(panels, panelStep);
  }
  int chunks() const { return (int)(ceilDiv(rows, rowStep) * groups); }
  size_t row(int chunk) const { return (size_t)chunk / groups * rowStep; }
  size_t height(int chunk) const { return std::min(rowStep, rows - row(chunk)); }
  size_t panel(int chunk) const { return (size_t)chunk % groups * panelStep; }
  size_t width(int chunk) const { return std::min(panelStep, panels - panel(chunk)); }
};

}  // namespace pm

// Where one head's keys and values stand in pages of bfloat16, shared by attention-bf16.cc and attention-amx.cc.
#pragma once

#include "online-softmax.h"

namespace pm::PM_ISA {

struct PageWalk {
  const AttentionTask& t;
  size_t firstPage, lastPage;  // of what the task's queries see; the first one begins a step

  explicit PageWalk(const AttentionTask& task) : t(task), lastPage((t.firstPosition + t.queries - 1) / kLanes) {
    const size_t firstSeen = t.window && t.firstPosition + 1 > t.window ? t.firstPosition + 1 - t.window : 0;
    firstPage = firstSeen / kAttentionTokens * kPages;
  }

  const char* keys(size_t page) const { return keysAt(tileOf(page, 0)); }
  const char* values(size_t page) const { return valuesAt(tileOf(page, 0)); }

  // What is read four pages after this one: of this head, or of the next one from its first page on.
  const char* keysAhead(size_t page) const { return keysAt(tileAhead(page)); }
  const char* valuesAhead(size_t page) const { return valuesAt(tileAhead(page)); }

 private:
  const char* keysAt(size_t tile) const { return t.pages.keys + tile * kvTileBytes(Dtype::BF16, t.pages.headDim); }
  const char* valuesAt(size_t tile) const { return t.pages.values + tile * kvTileBytes(Dtype::BF16, t.pages.paddedHeadDim); }

  size_t tileOf(size_t page, size_t laterHeads) const {
    return (size_t)t.blockTable[page] * t.pages.kvHeads + t.kvHead + laterHeads;
  }
  size_t tileAhead(size_t page) const {
    const size_t later = page + kPages;
    if (later <= lastPage || t.kvHead + 1 == t.pages.kvHeads) return tileOf(later <= lastPage ? later : lastPage, 0);
    const size_t again = firstPage + later - lastPage - 1;
    return tileOf(again <= lastPage ? again : lastPage, 1);
  }
};

}  // namespace pm::PM_ISA

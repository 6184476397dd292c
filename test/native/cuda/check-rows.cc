#include "check.h"

namespace check {

using namespace pm::cuda;

namespace {

void checkEmbed() {
  const int rows = 7, n = 200, vocab = 50;
  Array<uint16_t> table(randomBf16((size_t)vocab * n, 1));
  Array<int32_t> ids(std::vector<int32_t>{3, 0, 49, 3, 17, 8, 1});
  Array<float> out((size_t)rows * n);
  const bool repeats = isRepeatable([&] { out.poison(); }, [&] { embed({table.d(), ids.d(), out.d(), rows, n, 3.5f}, nullptr); },
                                    [&] { return bytesOf(out.download()); });
  twin::embed({table.h(), ids.h(), out.h(), rows, n, 3.5f});
  report("embed", differenceOf(out.download(), out.host), 0, repeats);
}

void checkNorm() {
  for (const int n : {64, 200, 4096})
    for (const int kind : {0, 1, 2}) {
      const int rows = 5;
      Array<float> x(randomFloats((size_t)rows * n, 2)), delta(randomFloats((size_t)rows * n, 3)), deltaWeight(randomFloats((size_t)n, 4)),
          weight(randomFloats((size_t)n, 5));
      Array<uint16_t> out((size_t)rows * n);
      const auto task = [&](bool host) {
        NormTask t{host ? x.h() : x.d(), nullptr, nullptr, host ? weight.h() : weight.d(), host ? out.h() : out.d(), rows, n, 1e-5f};
        if (kind > 0) t.delta = host ? delta.h() : delta.d();
        if (kind > 1) t.deltaWeight = host ? deltaWeight.h() : deltaWeight.d();
        return t;
      };
      const bool repeats = isRepeatable([&] { x.upload(); out.poison(); }, [&] { rmsNorm(task(false), nullptr); },
                                        [&] { return bytesOf(out.download()) + bytesOf(x.download()); });
      twin::rmsNorm(task(true));
      const std::string name = "rms norm of " + std::to_string(n) + (kind == 0 ? "" : kind == 1 ? " after adding" : " after adding a norm");
      report(name, differenceOf(asFloats(out.download()), asFloats(out.host)), 1.0 / 256, repeats);
      report(name + ", residual", differenceOf(x.download(), x.host), 1e-6, true);
    }
}

void checkGate() {
  for (const bool gelu : {false, true}) {
    const int rows = 3, n = 300;
    Array<float> in(randomFloats((size_t)rows * 2 * n, 6, 12));
    Array<uint16_t> out((size_t)rows * n);
    const bool repeats = isRepeatable([&] { out.poison(); }, [&] { gate({in.d(), out.d(), rows, n, gelu}, nullptr); },
                                      [&] { return bytesOf(out.download()); });
    twin::gate({in.h(), out.h(), rows, n, gelu});
    report(gelu ? "gelu gate" : "silu gate", differenceOf(asFloats(out.download()), asFloats(out.host)), 1.0 / 256, repeats);
  }
}

void checkCopies() {
  Array<float> in(randomFloats(20 * 36, 7)), out(6 * 36);
  Array<int32_t> rows(std::vector<int32_t>{19, 0, 7, 7, 1, 2});
  const auto gatherOf = [&](bool host) {
    return GatherTask{host ? in.h() : in.d(), host ? rows.h() : rows.d(), host ? out.h() : out.d(), 6, 36 * sizeof(float)};
  };
  const bool gathers = isRepeatable([&] { out.poison(); }, [&] { gatherRows(gatherOf(false), nullptr); }, [&] { return bytesOf(out.download()); });
  twin::gatherRows(gatherOf(true));
  report("gather rows", differenceOf(out.download(), out.host), 0, gathers);

  const size_t page = 3 * tileBytes(64, KvType::Bf16);
  Array<uint16_t> from(randomBf16(8 * page / 2, 8)), to(std::vector<uint16_t>(5 * page / 2, 0x3f80));
  Array<int32_t> pairs(std::vector<int32_t>{7, 0, 2, 4, 3, 1});
  const auto copyOf = [&](bool host) {
    return PageCopyTask{host ? from.h() : from.d(), host ? to.h() : to.d(), host ? pairs.h() : pairs.d(), 3, page};
  };
  const bool copies = isRepeatable([&] { to.upload(); }, [&] { copyPages(copyOf(false), nullptr); }, [&] { return bytesOf(to.download()); });
  twin::copyPages(copyOf(true));
  report("copy pages", differenceOf(asFloats(to.download()), asFloats(to.host)), 0, copies);
}

}  // namespace

void checkRows() {
  checkEmbed();
  checkNorm();
  checkGate();
  checkCopies();
}

void checkRope() {
  struct Case { int headDim, half; bool norm; KvType type; };
  for (const Case c : {Case{32, 16, false, KvType::Bf16}, {128, 64, true, KvType::Bf16}, {96, 36, true, KvType::Bf16},
                       {64, 32, false, KvType::E4m3}, {256, 128, true, KvType::E4m3}, {20, 10, true, KvType::Bf16}}) {
    const int rows = 6, heads = 6, kvHeads = 2, d = c.headDim, padded = paddedHead(d), all = heads + 2 * kvHeads;
    const size_t pages = 4, pageBytes = kvHeads * tileBytes(padded, c.type);
    Array<float> qkv(randomFloats((size_t)rows * all * d, 9)), qNorm(randomFloats((size_t)d, 10)), kNorm(randomFloats((size_t)d, 11));
    Array<float> frequencies(randomFloats((size_t)2 * c.half, 12)), factors(std::vector<float>{1, 1.25f});
    Array<float> cosines((size_t)2 * rows * c.half), sines((size_t)2 * rows * c.half);
    Array<int32_t> positions(std::vector<int32_t>{0, 1, 17, 30000, 131071, 5});
    Array<int32_t> slots(std::vector<int32_t>{0, 63, 17, 33, -1, 40});
    const auto angles = [&](bool host) {
      return AnglesTask{host ? positions.h() : positions.d(), host ? frequencies.h() : frequencies.d(), host ? factors.h() : factors.d(),
                        host ? cosines.h() : cosines.d(), host ? sines.h() : sines.d(), rows, rows, 2, c.half};
    };
    const std::string name = std::string("rope of ") + std::to_string(d) + (c.norm ? " with norms" : "") + (c.type == KvType::Bf16 ? "" : ", e4m3");
    const bool turns = isRepeatable([&] { cosines.poison(); sines.poison(); }, [&] { ropeAngles(angles(false), nullptr); },
                                    [&] { return bytesOf(cosines.download()) + bytesOf(sines.download()); });
    twin::ropeAngles(angles(true));
    report(name + ", angles", std::max(differenceOf(cosines.download(), cosines.host), differenceOf(sines.download(), sines.host)), 1e-6, turns);

    Array<uint16_t> q((size_t)rows * heads * padded);
    Array<uint8_t> keys(std::vector<uint8_t>(pages * pageBytes, 0x42)), values(std::vector<uint8_t>(pages * pageBytes, 0x42));
    const auto task = [&](bool host) {
      RopeTask t{};
      t.qkv = host ? qkv.h() : qkv.d();
      t.cosines = (host ? cosines.h() : cosines.d()) + (size_t)rows * c.half;
      t.sines = (host ? sines.h() : sines.d()) + (size_t)rows * c.half;
      t.slots = host ? slots.h() : slots.d();
      if (c.norm) {
        t.qNorm = host ? qNorm.h() : qNorm.d();
        t.kNorm = host ? kNorm.h() : kNorm.d();
      }
      t.q = host ? q.h() : q.d();
      t.keys = host ? keys.h() : keys.d();
      t.values = host ? values.h() : values.d();
      t.type = c.type;
      t.rows = rows; t.heads = heads; t.kvHeads = kvHeads; t.headDim = d; t.padded = padded; t.half = c.half;
      t.eps = 1e-6f;
      return t;
    };
    const bool repeats = isRepeatable([&] { q.poison(); keys.upload(); values.upload(); }, [&] { rope(task(false), nullptr); },
                                      [&] { return bytesOf(q.download()) + bytesOf(keys.download()) + bytesOf(values.download()); });
    twin::rope(task(true));
    report(name, differenceOf(asFloats(q.download()), asFloats(q.host)), 1.0 / 128, repeats);
    // All of the pages: what no slot names must be as it was.
    for (const bool isKey : {true, false}) {
      const auto found = (isKey ? keys : values).download();
      const auto& expected = (isKey ? keys : values).host;
      std::vector<float> a, b;
      for (size_t slot = 0; slot < pages * 16; slot++)
        for (int head = 0; head < kvHeads; head++)
          for (int i = 0; i < padded; i++) {
            a.push_back((float)twin::readPage(found.data(), slot, head, i, kvHeads, padded, c.type));
            b.push_back((float)twin::readPage(expected.data(), slot, head, i, kvHeads, padded, c.type));
          }
      report(name + (isKey ? ", keys" : ", values"), differenceOf(a, b), c.type == KvType::Bf16 ? 1.0 / 128 : 1.0 / 16, true);
    }
  }
}

}  // namespace check

// Any bytes as a packed file: the reader accepts them or says why not, and what it accepts can be computed
// with. The first byte of an input says which hashes are set right before (bit 0: header and table, bit 1:
// payloads), so that mutations reach the rules behind them; the file follows.
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "core/base/check.h"
#include "core/kernels/api.h"
#include "core/runtime/packed_file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/support/packed_files.h"

namespace a48::test {
namespace {

using runtime::PackedHeader;
using runtime::PackedModel;
using runtime::PackedRecord;

/// The sha256 of each record whose payload lies in the file.
void hash_payloads(std::span<std::byte> file) {
  PackedHeader header;
  if (file.size() < sizeof header) return;
  std::memcpy(&header, file.data(), sizeof header);
  for (std::uint64_t i = 0; i < header.n_sections; ++i) {
    const std::uint64_t at = sizeof header + i * sizeof(PackedRecord);
    if (at + sizeof(PackedRecord) > file.size()) return;
    PackedRecord record;
    std::memcpy(&record, file.data() + at, sizeof record);
    if (record.offset > file.size() || record.bytes > file.size() - record.offset) continue;
    record.sha256 = runtime::digest_of_hex(runtime::sha256_of(file.subspan(record.offset, record.bytes)));
    std::memcpy(file.data() + at, &record, sizeof record);
  }
}

/// Embedding, head and a projection of an accepted file, with whatever its payloads hold.
void compute_with(const PackedModel& model) {
  const kernels::HeadWeight& head = model.head();
  constexpr std::int64_t kMostWork = 1 << 20;
  if (head.rows > kMostWork / head.cols) return;
  const std::int64_t padded =
      (head.cols + kernels::kCodePadding - 1) / kernels::kCodePadding * kernels::kCodePadding;
  Buffer<float> x(head.cols), logits(head.rows);
  Buffer<std::int8_t> codes(padded);
  kernels::widen_row(model.embedding(), head.rows - 1, x.data());
  kernels::packed_head_rows({x.rows(1, head.cols), head, codes.rows(1, padded), logits.rows(1, head.rows)});
  const kernels::TernaryMatrix& up = model.layers().back().up;
  if (up.rows > kMostWork / up.cols) return;
  Buffer<float> y(up.rows), step(1);
  Buffer<std::int32_t> code_sum(1);
  Buffer<std::uint8_t> status(1);
  kernels::quantize_rows({x.rows(1, head.cols), quant::Scheme::int8, 0, codes.rows(1, head.cols), step.data(),
                          code_sum.data(), status.data()});
  kernels::gemm_ternary({.codes = {codes.data(), 1, up.cols, padded},
                         .max_magnitude = 127,
                         .step = step.data(),
                         .code_sum = code_sum.data(),
                         .weight = {},
                         .alpha = 0,
                         .y = y.rows(1, up.rows),
                         .packed = &up});
}

/// Is the file accepted? Anything but Error(bad_input) ends the program.
bool accepted(std::span<const std::byte> file, runtime::Verify verify) {
  try {
    compute_with(PackedModel::of_bytes(file, "input", verify));
    return true;
  } catch (const Error& error) {
    if (error.kind() == ErrorKind::bad_input) return false;
    std::fprintf(stderr, "an error of another kind: %s\n", error.what());
    std::abort();
  }
}

}  // namespace

std::vector<std::string> packed_file_seeds() {
  std::vector<std::string> seeds;
  for (const kernels::HeadClass head :
       {kernels::HeadClass::f32, kernels::HeadClass::bf16, kernels::HeadClass::i8, kernels::HeadClass::i6,
        kernels::HeadClass::i4}) {
    runtime::PackRequest request = small_request(head);
    request.model.num_hidden_layers = 1;
    request.model.intermediate_size = 9;
    request.tokenizer_kind = "sentencepiece";
    request.tokenizer_model = "pieces";
    const Buffer<std::byte> file = runtime::pack_model(request, random_weights(request.model));
    seeds.emplace_back(1, '\3');
    seeds.back().append(reinterpret_cast<const char*>(file.data()), static_cast<std::size_t>(file.size()));
  }
  return seeds;
}

bool packed_file_accepts(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return false;
  Buffer<std::byte> file(static_cast<std::int64_t>(size - 1));
  if (size > 1) std::memcpy(file.data(), data + 1, size - 1);
  if ((data[0] & 2) != 0) hash_payloads(file.span());
  if ((data[0] & 1) != 0) hash_again(file.span());
  const bool structure = accepted(file.span(), runtime::Verify::structure);
  const bool full = accepted(file.span(), runtime::Verify::full);
  if (full && !structure) std::abort();
  return structure;
}

}  // namespace a48::test

/// libFuzzer's entry: clang++ -fsanitize=fuzzer,address with this file in place of mutate_main.cpp.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  a48::test::packed_file_accepts(data, size);
  return 0;
}

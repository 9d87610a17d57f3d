// Memory of a loaded model, as the system counts it: what opening a file and decoding from it makes resident.
#include <malloc.h>
#include <unistd.h>

#include <fstream>

#include "core/base/parallel.h"
#include "core/runtime/decoder.h"
#include "core/runtime/synthetic_model.h"
#include "tests/support/catch.h"
#include "tests/support/temp_dir.h"

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define A48_HAS_SHADOW_MEMORY 1
#endif

namespace a48::runtime {
namespace {

std::int64_t resident_bytes() {
  std::int64_t all = 0, pages = 0;
  std::ifstream("/proc/self/statm") >> all >> pages;
  return pages * sysconf(_SC_PAGESIZE);
}

/// About 30 MiB of ternary weights and, by `vocabulary`, 4 KiB a token of embedding and head.
PackRequest request_for(std::int64_t vocabulary) {
  PackRequest request;
  config::Model& model = request.model;
  model.vocab_size = vocabulary;
  model.hidden_size = 1024;
  model.intermediate_size = 2816;
  model.num_hidden_layers = 11;
  model.num_attention_heads = 16;
  model.num_key_value_heads = 4;
  model.max_position_embeddings = 512;
  request.slots = quant::row_of(quant::Mode::a4_8).slots;
  request.mode = "a4.8";
  return request;
}

TEST_CASE(
    "the memory of a loaded model is at most its file, its activations and 5 %, copied to large pages or "
    "mapped") {
#ifdef A48_HAS_SHADOW_MEMORY
  A48_SKIP("a sanitizer's memory is resident, too");
#else
  const test::TempDir dir;
  for (const std::int64_t vocabulary : {8'000, 64}) {
    const Path path = dir / (std::to_string(vocabulary) + ".a48");
    {
      const PackRequest request = request_for(vocabulary);
      write_packed_model(path, request, synthetic_weights(request.model, 1));
    }
    const auto file = static_cast<std::int64_t>(std::filesystem::file_size(path));
    malloc_trim(0);  // what writing left behind would hide what reading takes
    const std::int64_t before = resident_bytes();
    Decoder decoder(PackedModel::open(path));
    decoder.start(1);
    std::vector<TokenInput> prompt;
    for (std::int32_t id = 1; id <= 40; ++id) prompt.push_back({0, id, id == 40});
    decoder.feed(prompt);
    for (std::int32_t id = 1; id <= 20; ++id) {
      const TokenInput token{0, id, true};
      decoder.feed({&token, 1});
    }
    const std::int64_t grown = resident_bytes() - before,
                       activations = decoder.activation_bytes() + decoder.cache().bytes();
    INFO("file " << file << ", activations " << activations << ", resident " << grown);
    CHECK(grown <= file + activations + file / 20);
    CHECK(grown >= file / 10 * 9);  // or the measurement sees nothing
  }
#endif
}

}  // namespace
}  // namespace a48::runtime

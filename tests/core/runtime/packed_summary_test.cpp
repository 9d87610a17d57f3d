#include "core/runtime/packed_summary.h"

#include "tests/support/catch.h"
#include "tests/support/packed_files.h"

namespace a48::runtime {

TEST_CASE("the summary of a packed file adds up: groups, projections, sections") {
  const PackRequest request = test::small_request(kernels::HeadClass::i6);
  const Buffer<std::byte> bytes = pack_model(request, test::random_weights(request.model));
  const PackedModel model = PackedModel::of_bytes(bytes.span(), "m.a48", Verify::structure);
  const Json summary = summary_of(model);
  CHECK(summary.at("identity").as_string() == model.identity());
  CHECK(summary.at("bytes").as_int() == bytes.size());
  CHECK(summary.at("head").as_string() == "i6");
  CHECK(summary.at("model").at("num_key_value_heads").as_int() == 2);
  CHECK(summary.at("sections").size() == model.sections().size());

  std::int64_t group_bytes = 0, section_bytes = 0, head_bytes = 0;
  for (const Json& group : summary.at("groups").as_array()) {
    group_bytes += group.at("bytes").as_int();
    if (group.at("group").as_string() == "head") head_bytes = group.at("bytes").as_int();
    if (group.at("group").as_string() == "ternary")
      CHECK(group.at("weights").as_int() == 2 * (2 * 24 * 24 + 2 * 12 * 24 + 3 * 65 * 24));
  }
  for (const PackedSection& section : model.sections())
    section_bytes += static_cast<std::int64_t>(section.bytes);
  CHECK(group_bytes == section_bytes);
  CHECK(head_bytes == 37 * (192 + 64));
  const Json::Array& projections = summary.at("projections").as_array();
  CHECK(projections.size() == 7);
  for (const Json& projection : projections) {  // Gaussian: 69 % of the weights are not 0
    CHECK(projection.at("nonzero").as_double() > 0.6);
    CHECK(projection.at("nonzero").as_double() < 0.78);
  }
  CHECK(projections[0].at("projection").as_string() == "q_proj");
  CHECK(projections[0].at("weights").as_int() == 2 * 24 * 24);
}

}  // namespace a48::runtime

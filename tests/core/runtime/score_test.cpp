#include "core/runtime/score.h"

#include <cmath>

#include "tests/support/catch.h"
#include "tests/support/errors.h"
#include "tests/support/fake_model.h"
#include "tests/support/tolerance.h"

namespace a48::runtime {
namespace {

using Scores = std::vector<std::vector<double>>;

Scores score(LanguageModel& model, const std::vector<Piece>& pieces, std::int64_t tokens_per_call) {
  Scores scores;
  const std::size_t done = score_pieces(
      model, pieces,
      [&](std::size_t piece, std::span<const double> logprobs) {
        CHECK(piece == scores.size());
        scores.emplace_back(logprobs.begin(), logprobs.end());
      },
      tokens_per_call);
  CHECK(done == pieces.size());
  return scores;
}

TEST_CASE("score: each token after the first has the log-probability of the model's softmax") {
  test::FakeModel model(17, 32);
  const std::vector<Piece> pieces{{1, 4, 9, 16}, {1}, {1, 3}, {}};
  const Scores scores = score(model, pieces, 2048);
  REQUIRE(scores.size() == 4);
  CHECK(scores[1].empty());
  CHECK(scores[3].empty());
  for (const std::size_t p : {std::size_t{0}, std::size_t{2}}) {
    REQUIRE(scores[p].size() == pieces[p].size() - 1);
    for (std::size_t i = 0; i + 1 < pieces[p].size(); ++i) {
      const std::vector<std::int32_t> history(pieces[p].begin(),
                                              pieces[p].begin() + static_cast<std::ptrdiff_t>(i) + 1);
      double sum = 0;
      for (std::int32_t id = 0; id < 17; ++id)
        sum += std::exp(static_cast<double>(test::FakeModel::noise(history, id)));
      const double expected =
          static_cast<double>(test::FakeModel::noise(history, pieces[p][i + 1])) - std::log(sum);
      CHECK(std::abs(scores[p][i] - expected) <= test::log_softmax_tolerance(17, expected));
    }
  }
}

TEST_CASE("score: results do not depend on batching, bit for bit") {
  test::FakeModel model(17, 64);
  std::vector<Piece> pieces;
  for (std::int32_t p = 0; p < 12; ++p) {
    pieces.push_back({1});
    for (std::int32_t i = 0; i < 3 * p; ++i) pieces.back().push_back((p * 7 + i * 5) % 17);
  }
  const Scores whole = score(model, pieces, 100'000);
  CHECK(model.calls.size() == 1);
  for (const std::int64_t tokens : {1, 7, 50}) CHECK(score(model, pieces, tokens) == whole);
  for (std::size_t p = 0; p < pieces.size(); ++p) CHECK(score(model, {pieces[p]}, 2048).front() == whole[p]);
}

TEST_CASE("score: huge and tiny logits stay finite") {
  test::FakeModel model(3, 8, [](const auto&, std::int32_t id) {
    return id == 0 ? 3e38f : id == 1 ? -3e38f : 0.0f;
  });
  const Scores scores = score(model, {{1, 0, 1, 2}}, 2048);
  CHECK(scores[0][0] == 0.0);
  CHECK((std::isfinite(scores[0][1]) && scores[0][1] < -5e38));
  CHECK((std::isfinite(scores[0][2]) && scores[0][2] < -2e38));
}

TEST_CASE("score: a request to stop ends between groups") {
  test::FakeModel model(17, 32);
  const std::vector<Piece> pieces{{1, 2, 3}, {1, 4, 5}, {1, 6, 7}};
  int polled = 0;
  const std::size_t done = score_pieces(
      model, pieces, [](std::size_t, std::span<const double>) {}, 3, [&] { return ++polled <= 2; });
  CHECK(done == 2);
}

TEST_CASE("score: an id outside the vocabulary is refused") {
  test::FakeModel model(17, 32);
  CHECK_ERROR(score(model, {{1, 17}}, 2048), ErrorKind::bad_input, "17");
  CHECK_ERROR(score(model, {{1, -1}}, 2048), ErrorKind::bad_input, "-1");
}

TEST_CASE("score: totals are nats per token, their exponential, and bits per byte") {
  Totals totals;
  totals.nll = 6.0 * std::log(2.0);
  totals.tokens = 3;
  totals.bytes = 12;
  CHECK(totals.nll_per_token() == 2.0 * std::log(2.0));
  CHECK(totals.perplexity() == Approx(4.0));
  CHECK(totals.bits_per_byte() == Approx(0.5));
}

}  // namespace
}  // namespace a48::runtime

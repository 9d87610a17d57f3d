// `a48 prepare`: text -> tokenizer and token shards (data/prepare.cpp), and a summary of what came out.
#include <iostream>

#include "a48_version.h"
#include "core/base/temporaries.h"
#include "tools/commands.h"

namespace a48::tools {
namespace {

std::int64_t sum_of(const Json& entries, const char* member, const std::string& split = "") {
  std::int64_t sum = 0;
  for (const Json& entry : entries.as_array())
    if (split.empty() || entry.at("split").as_string() == split) sum += entry.at(member).as_int();
  return sum;
}

void print_summary(const std::string& folder, const Json& sidecar) {
  const Json& shards = sidecar.at("shards");
  const std::int64_t bytes = sum_of(sidecar.at("sources"), "bytes"), tokens = sum_of(shards, "tokens");
  const std::string tokenizer = sidecar.at("tokenizer").at("kind").as_string();
  const std::string rule = sidecar.at("val").at("rule").as_string();
  std::cout.setf(std::ios::fixed);
  std::cout.precision(2);
  std::cout << "tokenizer   " << sidecar.at("vocab_size").as_int() << " tokens (" << tokenizer << ")\n"
            << "documents   " << sum_of(sidecar.at("sources"), "documents") << "\n"
            << "train       " << sum_of(shards, "tokens", "train") << " tokens\n"
            << "validation  " << sum_of(shards, "tokens", "val") << " tokens, by rule \"" << rule << "\": "
            << (rule == "hash" ? "whole documents, chosen by their hash" : "the last part of every document")
            << "\n"
            << "per token   " << static_cast<double>(bytes) / static_cast<double>(tokens) << " bytes\n"
            << "folder      " << folder << "\n";
}

}  // namespace

ExitCode run_prepare(const PrepareOptions& options) {
  const TemporariesEndOnSignal unfinished;
  data::PrepareRequest request = options.request;
  request.tool = std::string("a48 ") + kVersion;
  const Json sidecar = data::prepare(request);
  if (options.json)
    std::cout << sidecar.dump(1) << "\n";
  else
    print_summary(request.out, sidecar);
  return ExitCode::done;
}

}  // namespace a48::tools

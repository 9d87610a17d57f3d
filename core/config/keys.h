// The field table as one flat list of paths: for hints, help and resume marks. The table itself: fields.h.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "core/config/field.h"

namespace a48::config {

struct Key {
  std::string block;  // "model"; "stages.N" for a stage's own keys; empty at the top
  std::string name;   // "hidden_size"
  std::string type;
  std::string allowed;
  std::string standard;  // the default as JSON; empty = not set
  std::string help;
  Resume resume = Resume::same;
  std::vector<std::pair<std::string, std::string>> choices;  // name, help

  std::string path() const { return block.empty() ? name : block + "." + name; }
};

/// Every key, in the order of the resolved dump; a stage's blocks are those of the run and stand there once.
const std::vector<Key>& all_keys();

/// The key that a path of a document means ("stages.1.optim.min_lr" is "optim.min_lr"); nullptr when there is
/// none.
const Key* find_key(const std::string& path);

/// Our key for one of another program ("n_layer" -> "model.num_hidden_layers"); empty when we know no such
/// name.
std::string ours_for_foreign(const std::string& name);

std::vector<std::string> split_path(const std::string& path);
std::string join_path(const std::string& block, const std::string& name);

}  // namespace a48::config

// Hop 1 of the training walk: the request that the flags made, handed to the trainer (training/trainer.cpp).
#include "tools/commands.h"

namespace a48::tools {

ExitCode run_train(const TrainOptions& options) { return train::run(options.request); }

}  // namespace a48::tools

// What every kernel test needs; the tests of core/runtime need it too, hence its place in tests/support.
#pragma once

#include "tests/support/kernel_test.h"

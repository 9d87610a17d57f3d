# Writes HEADER from VERSION and the git commit of SOURCE ("unknown" outside a clone; "+" after the
# commit when tracked files differ from it).
execute_process(COMMAND git -C "${SOURCE}" describe --always --abbrev=12 --dirty=+ --exclude=*
                OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET RESULT_VARIABLE failed)
if(failed)
  set(commit "unknown")
endif()
file(CONFIGURE OUTPUT "${HEADER}" @ONLY CONTENT
"// Written by the build.
#pragma once

namespace a48 {
inline constexpr const char* kVersion = \"@VERSION@\";
inline constexpr const char* kCommit = \"@commit@\";
}  // namespace a48
")

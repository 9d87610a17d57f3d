# Third-party packages other than LibTorch and CUDA: any install that CMake or pkg-config finds.
# All that is missing is named at once.
set(missing "")
function(a48_require package debian_package)
  find_package(${package} ${ARGN} QUIET)
  if(NOT ${package}_FOUND)
    list(APPEND missing "${package} (Debian package ${debian_package})")
  endif()
  set(missing "${missing}" PARENT_SCOPE)
endfunction()

find_package(Threads REQUIRED)
a48_require(nlohmann_json nlohmann-json3-dev)
a48_require(spdlog libspdlog-dev)
a48_require(CLI11 libcli11-dev)
a48_require(OpenSSL libssl-dev COMPONENTS Crypto)
a48_require(SentencePiece libsentencepiece-dev)
if(A48_TESTS)
  a48_require(Catch2 catch2)
endif()

if(missing)
  list(JOIN missing "\n  " missing)
  message(FATAL_ERROR "Not found:\n  ${missing}\n"
          "On Debian, scripts/setup.sh installs them; elsewhere install them where CMake looks "
          "or add their folder to CMAKE_PREFIX_PATH.")
endif()

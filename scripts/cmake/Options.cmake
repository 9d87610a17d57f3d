# Every option of the build, the flags that hold for the whole tree, the linker and ccache.
option(A48_TORCH "Build the parts that need LibTorch (ops, modules, training, a48)" ON)
option(A48_TORCH_ANY_VERSION "Accept a LibTorch other than 2.11" OFF)
set(A48_CUDA "AUTO" CACHE STRING "CUDA kernels: AUTO (when nvcc is found), ON (required) or OFF")
set_property(CACHE A48_CUDA PROPERTY STRINGS AUTO ON OFF)
set(A48_CUDA_ARCHITECTURES "80;90a" CACHE STRING "GPU architectures to build for")
option(A48_TESTS "Build the tests" ON)
option(A48_PCH "Precompile the LibTorch headers" ON)
option(A48_WERROR "Warnings are errors on floors 0 to 3" OFF)
set(A48_SANITIZE "" CACHE STRING "Sanitizer: address (with undefined), thread, or empty")
set_property(CACHE A48_SANITIZE PROPERTY STRINGS "" address thread)

if(NOT CMAKE_BUILD_TYPE AND NOT CMAKE_CONFIGURATION_TYPES)
  set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Release or RelWithDebInfo" FORCE)
endif()

set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# CMAKE_POSITION_INDEPENDENT_CODE stays unset: with it, libraries and programs would be compiled with
# different flags (-fPIC, -fPIE) and GCC would drop the shared precompiled headers.

# Bits must not depend on whether a compiler fuses a*b+c: one rounding per operation, everywhere.
add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-ffp-contract=off>)
add_compile_definitions($<$<NOT:$<CONFIG:Release>>:A48_DEBUG>)

if(A48_SANITIZE STREQUAL "address")
  set(A48_SANITIZE_FLAGS -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
elseif(A48_SANITIZE STREQUAL "thread")
  set(A48_SANITIZE_FLAGS -fsanitize=thread -fno-omit-frame-pointer)
elseif(A48_SANITIZE)
  message(FATAL_ERROR "A48_SANITIZE=${A48_SANITIZE}: allowed are address, thread or nothing.")
endif()
if(A48_SANITIZE)
  add_compile_options("$<$<COMPILE_LANGUAGE:CXX>:${A48_SANITIZE_FLAGS}>")
  add_link_options(${A48_SANITIZE_FLAGS})
endif()

# The first linker that links a program here; the compiler's own otherwise.
include(CheckCXXSourceCompiles)
foreach(linker mold lld)
  if(NOT A48_LINKER)
    set(CMAKE_REQUIRED_LINK_OPTIONS -fuse-ld=${linker})
    check_cxx_source_compiles("int main() { return 0; }" A48_LINKS_WITH_${linker})
    unset(CMAKE_REQUIRED_LINK_OPTIONS)
    if(A48_LINKS_WITH_${linker})
      set(A48_LINKER ${linker})
      add_link_options(-fuse-ld=${linker})
    endif()
  endif()
endforeach()

# For targets without a precompiled header only: ccache and precompiled headers do not go together.
find_program(A48_CCACHE ccache)
mark_as_advanced(A48_CCACHE)

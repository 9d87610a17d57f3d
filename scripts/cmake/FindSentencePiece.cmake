# SentencePiece by way of pkg-config: the target a48::sentencepiece (encoder and trainer).
include(FindPackageHandleStandardArgs)
find_package(PkgConfig QUIET)
if(PkgConfig_FOUND)
  pkg_check_modules(SentencePiece QUIET IMPORTED_TARGET GLOBAL sentencepiece)
endif()
find_package_handle_standard_args(SentencePiece REQUIRED_VARS SentencePiece_LINK_LIBRARIES
                                  VERSION_VAR SentencePiece_VERSION)
if(SentencePiece_FOUND AND NOT TARGET a48::sentencepiece)
  add_library(a48::sentencepiece ALIAS PkgConfig::SentencePiece)
endif()

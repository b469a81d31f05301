# Compiler settings for all of our code, as one interface library: weir_flags.
include(CheckCCompilerFlag)
add_library(weir_flags INTERFACE)
target_compile_definitions(weir_flags INTERFACE _GNU_SOURCE $<$<NOT:$<CONFIG:Release>>:WEIR_TORTURE>)
set(warnings
  -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wconversion -Wvla -Wundef -Wformat=2
  -Wimplicit-fallthrough -Wno-unused-parameter -fno-common -fno-strict-aliasing)
set(hardening
  -fstack-protector-strong -fstack-clash-protection -fcf-protection=full)
if(NOT WEIR_SEAL) # sealed objects are shared, and need what CMake gives them by itself: -fPIC
  list(APPEND hardening -fPIE)
endif()
foreach(flag -ftrivial-auto-var-init=zero)
  string(MAKE_C_IDENTIFIER "HAVE${flag}" have)
  check_c_compiler_flag("-Werror ${flag}" ${have})
  if(${have})
    list(APPEND hardening ${flag})
  endif()
endforeach()
foreach(flag ${warnings} ${hardening})
  target_compile_options(weir_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:${flag}>)
endforeach()
target_compile_options(weir_flags INTERFACE
  $<$<COMPILE_LANGUAGE:CXX>:-fno-exceptions;-fno-rtti;-fstack-protector-strong>)
if(WEIR_WERROR)
  target_compile_options(weir_flags INTERFACE $<$<COMPILE_LANGUAGE:C>:-Werror>)
endif()
if(WEIR_SANITIZE)
  target_compile_options(weir_flags INTERFACE -fsanitize=${WEIR_SANITIZE} -fno-sanitize-recover=all
    -fno-omit-frame-pointer)
  target_link_options(weir_flags INTERFACE -fsanitize=${WEIR_SANITIZE})
else()
  target_compile_options(weir_flags INTERFACE $<$<CONFIG:Release>:-U_FORTIFY_SOURCE;-D_FORTIFY_SOURCE=3>)
endif()
target_link_options(weir_flags INTERFACE -pie -Wl,-z,relro,-z,now,-z,noexecstack,--as-needed)

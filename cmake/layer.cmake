# A layer is one folder of src/: a static library with the public headers in <layer>/include/<layer>/.
# Three nets hold the order of layers (ARCHITECTURE.md, "Layers"): include directories come only from the
# dependencies declared here, a sealed shared object per layer fails to link on an upward call, and each public
# header is compiled alone.
file(WRITE ${CMAKE_BINARY_DIR}/seal_empty.c "typedef int seal_empty;\n")

function(layer name) # layer(net SRC a.c b.c DEPS base observe LIBS PkgConfig::UV)
  cmake_parse_arguments(A "" "" "SRC;DEPS;LIBS" ${ARGN})
  add_library(${name} STATIC ${A_SRC})
  file(GLOB hdrs CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/include/*/*.h)
  target_sources(${name} PUBLIC FILE_SET HEADERS BASE_DIRS ${CMAKE_CURRENT_SOURCE_DIR}/include FILES ${hdrs})
  set_source_files_properties(${hdrs} PROPERTIES LANGUAGE C)
  target_include_directories(${name} PRIVATE ${CMAKE_CURRENT_SOURCE_DIR})
  target_link_libraries(${name} PUBLIC ${A_DEPS} PRIVATE weir_flags PUBLIC ${A_LIBS})
  set_target_properties(${name} PROPERTIES VERIFY_INTERFACE_HEADER_SETS ON)
  if(WEIR_SEAL)
    add_library(seal_${name} SHARED ${CMAKE_BINARY_DIR}/seal_empty.c)
    target_link_libraries(seal_${name} PRIVATE $<LINK_LIBRARY:WHOLE_ARCHIVE,${name}>)
    if(NOT APPLE)
      target_link_options(seal_${name} PRIVATE -Wl,-z,defs)
    endif()
  endif()
endfunction()

# The Debian package: cpack in the build folder makes chaosd_VERSION_ARCH.deb. What it holds is what `cmake --install`
# puts under /usr and /etc, with what Debian's policy wants beside it.
find_program(GZIP gzip)
set(package_dir ${CMAKE_CURRENT_BINARY_DIR}/debian)

# Compressed as policy wants it, and without a time stamp: the same sources make the same package.
function(chaos_compressed source name destination)
  set(output ${package_dir}/${name}.gz)
  add_custom_command(OUTPUT ${output} COMMAND ${CMAKE_COMMAND} -E make_directory ${package_dir}
                     COMMAND ${GZIP} -9nc ${source} > ${output} DEPENDS ${source} VERBATIM)
  set_property(GLOBAL APPEND PROPERTY CHAOS_COMPRESSED ${output})
  install(FILES ${output} DESTINATION ${destination})
endfunction()

configure_file(debian/changelog.in ${package_dir}/changelog @ONLY)
chaos_compressed(${package_dir}/changelog changelog ${CMAKE_INSTALL_DATADIR}/doc/chaosd)
chaos_compressed(${CMAKE_SOURCE_DIR}/CHANGELOG.md CHANGELOG.md ${CMAKE_INSTALL_DATADIR}/doc/chaosd)
get_property(compressed GLOBAL PROPERTY CHAOS_COMPRESSED)
add_custom_target(package_documents ALL DEPENDS ${compressed})
install(FILES debian/copyright ${CMAKE_SOURCE_DIR}/README.md DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/chaosd)
install(FILES debian/lintian-overrides DESTINATION ${CMAKE_INSTALL_DATADIR}/lintian/overrides RENAME chaosd)
install(DIRECTORY ${CMAKE_SOURCE_DIR}/config/examples DESTINATION ${CMAKE_INSTALL_DATADIR}/doc/chaosd
        USE_SOURCE_PERMISSIONS PATTERN "*.cpp" EXCLUDE PATTERN "*.h" EXCLUDE PATTERN "CMakeLists.txt" EXCLUDE)

foreach(script postinst prerm postrm)
  configure_file(debian/${script} ${package_dir}/${script} COPYONLY FILE_PERMISSIONS OWNER_READ OWNER_WRITE OWNER_EXECUTE
                 GROUP_READ GROUP_EXECUTE WORLD_READ WORLD_EXECUTE)
endforeach()
file(WRITE ${package_dir}/conffiles "/etc/chaosd/chaosd.yaml\n")

set(CPACK_GENERATOR DEB)
# Some of it goes to absolute places (/etc, /lib/systemd).
set(CPACK_SET_DESTDIR ON)
set(CPACK_STRIP_FILES ON)
set(CPACK_PACKAGE_NAME chaosd)
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_CONTACT "the chaosd authors <maintainers@chaosd.invalid>")
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "host-level fault injection and telemetry daemon")
set(CPACK_DEBIAN_PACKAGE_DESCRIPTION "chaosd breaks one host on purpose, in small, exact and reversible ways: packet
loss by eBPF for now. It enforces a blast radius, keeps a queue, severity
limits and an emergency stop, and proves afterwards that nothing is left.
chaosctl drives it over a Unix socket.")
set(CPACK_DEBIAN_PACKAGE_SECTION admin)
set(CPACK_DEBIAN_PACKAGE_PRIORITY optional)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
# libcurl is opened at run time, so that no dependency is found by looking at the binary.
set(CPACK_DEBIAN_PACKAGE_DEPENDS "libcurl4, systemd | systemd-standalone-sysusers, init-system-helpers (>= 1.54~)")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA
    "${package_dir}/postinst;${package_dir}/prerm;${package_dir}/postrm;${package_dir}/conffiles")
include(CPack)

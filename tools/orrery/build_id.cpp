#include "tools/orrery/build_id.h"

#include <elf.h>
#include <fmt/format.h>
#include <link.h>

#include <cstring>

#include "orrery_commit.h"
#include "runtime/store/version.h"

namespace orrery::cli {

namespace {

// The first object of the list is the program itself; its note segment holds what --build-id put there.
int take_build_id(dl_phdr_info* object, size_t, void* into) {
    std::string& id = *static_cast<std::string*>(into);
    for (int i = 0; i < object->dlpi_phnum; ++i) {
        const ElfW(Phdr)& header = object->dlpi_phdr[i];
        if (header.p_type != PT_NOTE) continue;
        const char* at = reinterpret_cast<const char*>(object->dlpi_addr + header.p_vaddr);
        const char* end = at + header.p_memsz;
        while (at + sizeof(ElfW(Nhdr)) <= end) {
            ElfW(Nhdr) note;
            std::memcpy(&note, at, sizeof note);
            const char* name = at + sizeof note;
            const char* content = name + ((note.n_namesz + 3) & ~3u);
            if (note.n_type == NT_GNU_BUILD_ID && note.n_namesz == 4 && std::memcmp(name, "GNU", 4) == 0) {
                for (uint32_t k = 0; k < note.n_descsz; ++k)
                    id += fmt::format("{:02x}", static_cast<unsigned char>(content[k]));
                return 1;
            }
            at = content + ((note.n_descsz + 3) & ~3u);
        }
    }
    return 1;
}

}  // namespace

BuildInfo this_build() {
    BuildInfo info{ORRERY_VERSION, ORRERY_COMMIT, {}, store::rocksdb_version(), store::rocksdb_option_hash()};
    dl_iterate_phdr(take_build_id, &info.id);
    return info;
}

}  // namespace orrery::cli

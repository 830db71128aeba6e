#include "runtime/real/port_holder.h"

#include <dirent.h>
#include <unistd.h>

#include <cctype>
#include <cstdlib>
#include <fstream>
#include <memory>
#include <set>
#include <sstream>

namespace orrery::real {

namespace {

struct CloseDir {
    void operator()(DIR* dir) const { closedir(dir); }
};
using DirHandle = std::unique_ptr<DIR, CloseDir>;

bool is_number(const char* text) {
    if (*text == '\0') return false;
    for (; *text != '\0'; ++text)
        if (std::isdigit(static_cast<unsigned char>(*text)) == 0) return false;
    return true;
}

/// "socket:[inode]" of every listening socket on the port.
std::set<std::string> listening_sockets(const char* table, uint16_t port) {
    std::set<std::string> out;
    std::ifstream in(table);
    std::string line;
    std::getline(in, line);  // column names
    while (std::getline(in, line)) {
        std::istringstream fields(line);
        std::string number, local, remote, state, queues, timer, retransmits, user, timeout, inode;
        fields >> number >> local >> remote >> state >> queues >> timer >> retransmits >> user >> timeout >> inode;
        const size_t colon = local.rfind(':');
        if (state != "0A" || colon == std::string::npos) continue;
        if (std::strtoul(local.c_str() + colon + 1, nullptr, 16) == port) out.insert("socket:[" + inode + "]");
    }
    return out;
}

bool has_socket(const std::string& pid, const std::set<std::string>& sockets) {
    const std::string folder = "/proc/" + pid + "/fd";
    DirHandle dir(opendir(folder.c_str()));
    if (!dir) return false;
    while (dirent* entry = readdir(dir.get())) {
        char target[128];
        const ssize_t length = readlink((folder + "/" + entry->d_name).c_str(), target, sizeof(target));
        if (length > 0 && sockets.count(std::string(target, static_cast<size_t>(length))) != 0) return true;
    }
    return false;
}

}  // namespace

std::string describe_process(int64_t pid) {
    std::string out = "process " + std::to_string(pid);
    std::ifstream in("/proc/" + std::to_string(pid) + "/comm");
    std::string name;
    if (std::getline(in, name) && !name.empty()) out += " (" + name + ")";
    return out;
}

std::string describe_port_holder(uint16_t port) {
    std::set<std::string> sockets = listening_sockets("/proc/net/tcp", port);
    sockets.merge(listening_sockets("/proc/net/tcp6", port));
    if (sockets.empty()) return "";
    DirHandle proc(opendir("/proc"));
    if (!proc) return "";
    while (dirent* entry = readdir(proc.get()))
        if (is_number(entry->d_name) && has_socket(entry->d_name, sockets))
            return describe_process(std::strtoll(entry->d_name, nullptr, 10));
    return "";
}

}  // namespace orrery::real

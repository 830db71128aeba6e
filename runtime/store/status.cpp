#include "runtime/store/status.h"

namespace orrery::store {

rocksdb::IOStatus to_io_status(const Error& error) {
    switch (error.code) {
        case Code::NotFound: return rocksdb::IOStatus::PathNotFound(error.context);
        case Code::NoSpace: return rocksdb::IOStatus::NoSpace(error.context);
        case Code::Corrupt: return rocksdb::IOStatus::Corruption(error.context);
        case Code::Unsupported: return rocksdb::IOStatus::NotSupported(error.context);
        default: return rocksdb::IOStatus::IOError(error.text());
    }
}

Error to_error(const rocksdb::Status& status, std::string_view doing) {
    Code code = Code::Io;
    if (status.IsNoSpace())
        code = Code::NoSpace;
    else if (status.IsCorruption())
        code = Code::Corrupt;
    else if (status.IsIncomplete() || status.IsBusy())
        code = Code::Overloaded;
    else if (status.IsShutdownInProgress())
        code = Code::Cancelled;
    else if (status.IsInvalidArgument())
        code = Code::Invalid;
    return Error(code, std::string(doing) + ": " + status.ToString());
}

}  // namespace orrery::store

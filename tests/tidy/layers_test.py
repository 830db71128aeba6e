"""layers.py reports each kind of wrong arrow and lets the right ones pass."""
import support


class Layers(support.TreeTest):
    def report_for(self, path, text):
        self.plant(path, text)
        return self.run_tidy("layers.py")

    def test_right_arrows_pass(self):
        self.plant("node/raft/group.cpp", '#include "node/raft/core/core.h"\n#include "node/log/log.h"\n#include <vector>\n')
        self.plant("kv/kv_main.cpp", '#include "runtime/real/loop.h"\n#include <CLI/CLI.hpp>\n')
        self.plant("node/wire/frame.cpp", '#include <capnp/message.h>\n#include "node/wire/peer.capnp.h"\n')
        self.plant("runtime/base/a.h", '// #include "node/raft/group.h"\n/*\n#include "kv/server.h"\n*/\n')
        self.assert_clean(self.run_tidy("layers.py"))

    def test_wrong_arrow(self):
        result = self.report_for("node/raft/core/core.cpp", '// text\n#include "node/log/log.h"\n')
        self.assert_reported(result, "node/raft/core/core.cpp:2", "node/raft/core may not include node/log")

    def test_node_never_includes_the_real_runtime(self):
        self.assert_reported(self.report_for("node/rpc/a.h", '#include "runtime/real/loop.h"\n'), "may not include runtime/real")

    def test_master_and_data_never_meet(self):
        self.assert_reported(self.report_for("node/master/a.cpp", '#include "node/data/b.h"\n'), "may not include node/data")

    def test_the_shared_process_knows_no_daemon(self):
        self.plant("kv/kv_node.h", '// text\n#include "node/replica/replica_process.h"\n')
        self.assert_clean(self.run_tidy("layers.py"))
        self.assert_reported(self.report_for("node/replica/a.cpp", '#include "kv/kv_node.h"\n'), "node/replica may not include kv")

    def test_openssl_hashes_passwords_and_nothing_else(self):
        self.plant("kv/password_hash.cpp", "// text\n#include <openssl/sha.h>\n")
        self.assert_clean(self.run_tidy("layers.py"))
        self.assert_reported(self.report_for("kv/acl.cpp", "#include <openssl/sha.h>\n"), "hash passwords with kv/password_hash.h")

    def test_unknown_folder(self):
        self.assert_reported(self.report_for("sim/helpers/a.cpp", "int a;\n"), "'sim/helpers' is not in the table")

    def test_include_of_unknown_folder(self):
        self.assert_reported(self.report_for("kv/a.cpp", '#include "kv/extra/a.h"\n'), "'kv/extra', which the table does not know")

    def test_not_from_the_root(self):
        self.assert_reported(self.report_for("kv/a.cpp", '#include "session.h"\n'), "not a path from the root")

    def test_angle_brackets_do_not_hide_an_arrow(self):
        self.assert_reported(self.report_for("kv/resp/a.cpp", "#include <runtime/env/env.h>\n"), "kv/resp may not include runtime/env")

    def test_product_never_includes_tests(self):
        self.assert_reported(self.report_for("kv/a.cpp", '#include "tests/a.h"\n'), "the product includes 'tests/a.h'")

    def test_foreign_headers_stay_at_home(self):
        for path, header in (("node/wire/frame.h", "capnp/message.h"), ("node/rpc/a.cpp", "kj/array.h"),
                             ("kv/keyspace.h", "rocksdb/db.h"), ("sim/core/a.cpp", "boost/context/fiber.hpp"),
                             ("kv/server.cpp", "CLI/CLI.hpp"), ("node/log/a.cpp", "toml++/toml.h"),
                             ("sim/core/b.cpp", "nlohmann/json.hpp"), ("kv/resp/a.cpp", "boost/optional.hpp"),
                             ("kv/resp/b.cpp", "doctest/doctest.h")):
            with self.subTest(header=header):
                self.assert_reported(self.report_for(path, f"#include <{header}>\n"), f"{path}:1", header)

    def test_nothing_to_look_at_is_no_success(self):
        self.assert_reported(self.run_tidy("layers.py"), "no sources")


support.main()

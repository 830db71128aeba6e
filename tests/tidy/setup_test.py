"""tools/setup installs exactly what is missing, touches nothing when all is there, and says clearly why it can not."""
import os
import stat

import support

SETUP = os.path.join(support.ROOT, "tools", "setup")


class Setup(support.TreeTest):
    def setUp(self):
        super().setUp()
        self.packages = self.run_command(SETUP, "--list")[1].split()
        self.log = os.path.join(self.tree, "apt.log")

    def tool(self, name, script):
        path = self.plant(f"bin/{name}", "#!/bin/bash\n" + script)
        os.chmod(path, os.stat(path).st_mode | stat.S_IXUSR)

    def setup_with(self, missing=(), user=0, apt="exit 0", arguments=()):
        """Runs tools/setup where dpkg, apt-get and id are ours and sudo does not exist."""
        lines = "".join(f"ii  {package}:amd64\\n" for package in self.packages if package not in missing)
        self.tool("dpkg-query", f"printf '{lines}rc  removed-package\\n'\n")
        self.tool("id", f"echo {user}\n")
        self.tool("apt-get", f"echo \"$@\" >>{self.log}\n{apt}\n")
        for name in ("bash", "dirname", "basename", "grep", "sed", "env", "mktemp", "rm", "tail"):
            target = os.path.join(self.tree, "bin", name)
            if not os.path.exists(target):
                os.symlink(f"/usr/bin/{name}" if os.path.exists(f"/usr/bin/{name}") else f"/bin/{name}", target)
        result = self.run_command("/usr/bin/env", f"PATH={self.tree}/bin", SETUP, *arguments)
        if not os.path.exists(self.log):
            return result, []
        with open(self.log, encoding="utf-8") as log:
            return result, log.read().splitlines()

    def test_all_there_calls_no_apt(self):
        result, calls = self.setup_with()
        self.assert_clean(result)
        self.assertEqual(calls, [])

    def test_installs_and_names_exactly_what_is_missing(self):
        result, calls = self.setup_with(missing=("cmake", "g++"))
        self.assert_clean(result)
        self.assertIn("installing g++ cmake\n", result[1])
        self.assertEqual(len(calls), 2)
        self.assertTrue(calls[1].endswith(" g++ cmake"), calls)

    def test_the_peers_of_the_bench_are_installed_only_on_demand(self):
        self.assertNotIn("etcd-server", self.packages)
        listed = self.run_command(SETUP, "--bench", "--list")[1].split()
        self.assertEqual(listed[:len(self.packages)], self.packages)
        result, calls = self.setup_with(arguments=("--bench",))
        self.assert_clean(result)
        self.assertTrue(calls[1].endswith(" " + " ".join(listed[len(self.packages):])), calls)
        self.assertIn("etcd-server", calls[1])

    def test_without_rights_it_names_the_packages(self):
        result, calls = self.setup_with(missing=("mold",), user=1000)
        self.assertEqual((result[0], calls), (2, []))
        self.assertIn("must install mold: run as root, or install sudo", result[1])

    def test_failure_of_apt_is_shown_and_not_success(self):
        result, _ = self.setup_with(missing=("mold",), apt="echo 'E: no such host'; exit 100")
        self.assertEqual(result[0], 1)
        self.assertIn("E: no such host", result[1])

    def test_unknown_argument(self):
        self.assertEqual(self.run_command(SETUP, "--lits")[0], 2)


support.main()

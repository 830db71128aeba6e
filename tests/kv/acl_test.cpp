#include "kv/acl.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include "kv/password_hash.h"
#include "tests/kv/fake_node.h"

namespace orrery::kv {
namespace {

struct AclClient : test::FakeNode, test::FakeClient {
    AclClient() : FakeClient(static_cast<test::FakeNode&>(*this)) {}
    Reply set(const Bytes& name, const Argv& rules) {
        Argv argv{"ACL", "SETUSER", name};
        argv.insert(argv.end(), rules.begin(), rules.end());
        return run(argv);
    }
    /// What the user is told of a command; empty: it may.
    Bytes refused(const Bytes& name, const Argv& argv) {
        const auto words = resp::views_of(argv);
        const CheckedRequest request = check_request(words);
        REQUIRE(request.command != nullptr);
        const auto refusal = acl_refusal(*the_acl.find(name), *request.command, request.subcommand, words);
        return refusal ? refusal->text : Bytes();
    }
};

const Bytes kOfSecret = "2bb80d537b1da3e38bd30361aa855686bde0eacd7162fef6a25fe97bf527a25b";

TEST_CASE("kv acl: passwords are hashed as SHA-256 has it") {
    CHECK(password_hash("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    CHECK(password_hash("secret") == kOfSecret);
    CHECK(password_hash(Bytes(1'000'000, 'a')) == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
    CHECK(is_password_hash(kOfSecret));
    CHECK_FALSE(is_password_hash(kOfSecret.substr(1)));
    CHECK_FALSE(is_password_hash("G" + kOfSecret.substr(1)));
    CHECK_FALSE(same_password_hash(kOfSecret, password_hash("Secret")));
}

TEST_CASE("kv acl: a new user is off and may do nothing, the default user may do everything") {
    AclClient client;
    CHECK(client.the_acl.open_to_all());
    CHECK(client.the_acl.default_user().unrestricted());
    CHECK(client.run({"ACL", "WHOAMI"}) == Reply::bulk("default"));
    CHECK(client.run({"ACL", "LIST"}) == Reply::array({Reply::bulk("user default on nopass ~* &* +@all")}));
    CHECK(client.set("maya", {}) == Reply::ok());
    CHECK(client.run({"ACL", "USERS"}) == Reply::array({Reply::bulk("default"), Reply::bulk("maya")}));
    CHECK(client.run({"ACL", "LIST"}).items[1] == Reply::bulk("user maya off resetchannels -@all"));
    CHECK(client.run({"ACL", "GETUSER", "nobody"}) == Reply::null());
    CHECK(client.run({"AUTH", "maya", "x"}).text == "WRONGPASS invalid username-password pair or user is disabled.");
    CHECK(client.auth_failures == 1);
}

TEST_CASE("kv acl: passwords in words and as hashes, several, taken away one by one") {
    AclClient client;
    REQUIRE(client.set("maya", {"on", ">secret", "#" + password_hash("other"), ">secret"}) == Reply::ok());
    CHECK(client.the_acl.find("maya")->passwords() == std::vector<Bytes>{kOfSecret, password_hash("other")});
    CHECK(client.run({"AUTH", "maya", "secret"}) == Reply::ok());
    CHECK(client.state.user == "maya");
    CHECK(client.run({"HELLO", "3", "AUTH", "maya", "other"}).kind == Reply::Kind::Map);
    CHECK(client.set("maya", {"<secret"}) == Reply::ok());
    CHECK(client.run({"AUTH", "maya", "secret"}).is_error());
    CHECK(client.set("maya", {"<secret"}).text ==
          "ERR Error in ACL SETUSER modifier '<secret': The password you are trying to remove from the user does not exist");
    CHECK(client.set("maya", {"nopass"}) == Reply::ok());
    CHECK(client.run({"AUTH", "maya", "anything"}) == Reply::ok());
    CHECK(client.set("maya", {"off"}) == Reply::ok());
    CHECK(client.run({"AUTH", "maya", "anything"}).is_error());
    CHECK(client.set("maya", {"on", "resetpass"}) == Reply::ok());
    CHECK(client.run({"AUTH", "maya", "anything"}).is_error());
    CHECK(client.set("maya", {"#" + kOfSecret.substr(1)}).text.ends_with("must be exactly 64 characters and contain only lowercase hexadecimal characters"));
    client.state.authenticated = false;
    CHECK(client.run({"HELLO", "3"}).text.starts_with("NOAUTH HELLO must be called with the client already authenticated"));
}

TEST_CASE("kv acl: commands, their parts and categories are allowed and denied in order") {
    AclClient client;
    REQUIRE(client.set("maya", {"allkeys", "+@read", "-get", "+config|get", "+client", "-client|kill"}) == Reply::ok());
    const auto may = [&](const Argv& argv) { return client.refused("maya", argv).empty(); };
    CHECK(may({"STRLEN", "k"}));
    CHECK(client.refused("maya", {"GET", "k"}) == "NOPERM this user has no permissions to run the 'get' command");
    CHECK(client.refused("maya", {"SET", "k", "v"}) == "NOPERM this user has no permissions to run the 'set' command");
    CHECK(may({"CONFIG", "GET", "x"}));
    CHECK(client.refused("maya", {"CONFIG", "SET", "x", "y"}) == "NOPERM this user has no permissions to run the 'config|set' command");
    CHECK(may({"CLIENT", "LIST"}));
    CHECK_FALSE(may({"CLIENT", "KILL", "x"}));
    CHECK(may({"AUTH", "x"}));  // for everybody
    CHECK(client.the_acl.find("maya")->commands_text() == "-@all +@read -get +config|get +client -client|kill");
    CHECK(client.set("maya", {"+get", "-client"}) == Reply::ok());
    CHECK(client.the_acl.find("maya")->commands_text() == "-@all +@read +config|get +get -client");
    CHECK(may({"GET", "k"}));
    CHECK_FALSE(may({"CLIENT", "LIST"}));
    CHECK(client.set("maya", {"allcommands", "-@dangerous"}) == Reply::ok());
    CHECK(may({"SET", "k", "v"}));
    CHECK_FALSE(may({"FLUSHALL"}));
    CHECK_FALSE(may({"ACL", "SETUSER", "x"}));
    CHECK(may({"ACL", "WHOAMI"}));
    CHECK_FALSE(client.the_acl.find("maya")->unrestricted());
    CHECK(client.set("maya", {"+@all"}) == Reply::ok());
    CHECK(client.the_acl.find("maya")->unrestricted());
}

TEST_CASE("kv acl: every key of a command has to match a pattern") {
    AclClient client;
    REQUIRE(client.set("maya", {"+@all", "~a:*", "~b?"}) == Reply::ok());
    const Bytes no = "NOPERM this user has no permissions to access one of the keys used as arguments";
    CHECK(client.refused("maya", {"GET", "a:1"}).empty());
    CHECK(client.refused("maya", {"MGET", "a:1", "b2"}).empty());
    CHECK(client.refused("maya", {"MGET", "a:1", "c"}) == no);
    CHECK(client.refused("maya", {"MSET", "a:1", "c", "c", "a:1"}) == no);
    CHECK(client.refused("maya", {"OBJECT", "ENCODING", "c"}) == no);
    CHECK(client.refused("maya", {"PING"}).empty());
    CHECK(client.the_acl.find("maya")->keys_text() == "~a:* ~b?");
    CHECK(client.set("maya", {"~*"}) == Reply::ok());
    CHECK(client.refused("maya", {"GET", "c"}).empty());
    CHECK(client.set("maya", {"~x"}).text.find("Adding a pattern after the * pattern") != Bytes::npos);
    CHECK(client.set("maya", {"resetkeys"}) == Reply::ok());
    CHECK(client.refused("maya", {"GET", "a:1"}) == no);
}

TEST_CASE("kv acl: SETUSER with a rule that makes no sense changes nothing") {
    AclClient client;
    REQUIRE(client.set("maya", {"on", "+get"}) == Reply::ok());
    const Bytes before = client.the_acl.find("maya")->text();
    for (const char* odd : {"odd", "", "+nosuch", "-@nosuch", "+config|nosuch", "+get|x", "(~a +get)", "%R~x", "~a b"}) {
        const Bytes text = client.set("maya", {"+set", "~x", ">p", odd}).text;
        CHECK_MESSAGE(text.starts_with("ERR Error in ACL SETUSER modifier '" + Bytes(odd) + "': "), text);
        CHECK(client.the_acl.find("maya")->text() == before);
    }
    CHECK(client.set("a b", {}).text == "ERR Usernames can't contain spaces or null characters");
    CHECK(client.set("maya", {"reset"}) == Reply::ok());
    CHECK(client.the_acl.find("maya")->text() == AclUser().text());
}

TEST_CASE("kv acl: DELUSER takes users away, never the default one") {
    AclClient client;
    client.set("a", {});
    client.set("b", {});
    CHECK(client.run({"ACL", "DELUSER", "a", "default"}).text == "ERR The 'default' user cannot be removed");
    CHECK(client.the_acl.users().size() == 3);
    CHECK(client.run({"ACL", "DELUSER", "a", "b", "c"}) == Reply::integer(2));
    CHECK(client.the_acl.users().size() == 1);
}

TEST_CASE("kv acl: CAT lists categories, and commands of one; every command of ours is in known ones") {
    AclClient client;
    CHECK(client.run({"ACL", "CAT"}).items.size() == 21);
    const Reply scripting = client.run({"ACL", "CAT", "Scripting"});
    CHECK(scripting == Reply::array({Reply::bulk("function"), Reply::bulk("function|flush")}));
    CHECK(client.run({"ACL", "CAT", "odd"}).text == "ERR Unknown category 'odd'");
    const auto known = [](std::string_view categories) {
        size_t found = 0;
        for (std::string_view category : acl_categories()) found += in_category(categories, category);
        return found == static_cast<size_t>(std::count(categories.begin(), categories.end(), ' ')) + 1;
    };
    for (const CommandInfo& command : command_table()) {
        CHECK_MESSAGE(known(command.categories), command.name);
        CHECK_MESSAGE(in_category(command.categories, "write") == ((command.flags & kFlagWrite) != 0), command.name);
        CHECK_MESSAGE(in_category(command.categories, "fast") != in_category(command.categories, "slow"), command.name);
    }
    for (const SubcommandInfo& subcommand : subcommand_table()) CHECK_MESSAGE(known(subcommand.categories), subcommand.name);
}

TEST_CASE("kv acl: a file of users is read as Redis has it, and what is wrong is named by line") {
    const Result<Acl> users = Acl::parse("# users\n\nuser default on >secret ~* &* +@all\r\nuser maya\ton #" + kOfSecret + " ~a:* -@all +get\n");
    REQUIRE(users.ok());
    CHECK_FALSE(users->open_to_all());
    CHECK(users->authenticate("default", "secret") != nullptr);
    CHECK(users->authenticate("maya", "secret") != nullptr);
    CHECK(users->authenticate("maya", "default") == nullptr);
    CHECK(users->find("maya")->text() == "on #" + kOfSecret + " ~a:* resetchannels -@all +get");
    CHECK(Acl::parse("").value().open_to_all());
    CHECK(Acl::parse("user\n").error().context == "line 1: a user is `user NAME RULE...`");
    CHECK(Acl::parse("\nuser a\nuser a\n").error().context == "line 3: user 'a' is there twice");
    CHECK(Acl::parse("user a +nosuch").error().context == "line 1: rule '+nosuch': Unknown command or category name in ACL");
}

TEST_CASE("kv acl: what LIST prints of a user makes the same user again") {
    const std::vector<Bytes> rules{"on", "off", "nopass", "resetpass", ">a", ">b", "~x", "~y*", "allkeys", "resetkeys", "&c", "allchannels", "+@read",
                                   "-@write", "+get", "-get", "+config|get", "-config", "+config", "+@all", "-@all", "reset", "+@fast", "-@slow"};
    CHECK(rc::check("any rules", [&](const std::vector<uint8_t>& draws) {
        AclUser user;
        for (uint8_t draw : draws) (void)user.apply(rules[draw % rules.size()]);
        const Result<Acl> again = Acl::parse("user u " + user.text());
        RC_ASSERT(again.ok());
        const AclUser& other = *again->find("u");
        RC_ASSERT(other.text() == user.text());
        for (const CommandInfo& command : command_table()) {
            RC_ASSERT(other.may_run(command, nullptr) == user.may_run(command, nullptr));
            for (const SubcommandInfo& subcommand : subcommand_table())
                if (subcommand.container == command.id) RC_ASSERT(other.may_run(command, &subcommand) == user.may_run(command, &subcommand));
        }
    }));
    CHECK(rc::check("any words", [](const std::vector<std::string>& words, const std::string& lines) {
        AclUser user;
        for (const std::string& word : words) (void)user.apply(word);
        (void)Acl::parse(lines);
    }));
}

}  // namespace
}  // namespace orrery::kv

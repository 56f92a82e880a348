// Copyright The salvor authors.
// SPDX-License-Identifier: Apache-2.0

package house

import "strings"

// module is the path that every package here begins with.
const module = "github.com/salvor-io/salvor"

// rule says what the packages at and below a path may import of ours.
type rule struct {
	// at is a path in the module. The rule with the longest one that fits holds.
	at string
	// may import these packages and what is below them; "x!" means x alone.
	may []string
	// because is why no other.
	because string
}

const failpoints = "internal/failpoint!"

const joint = "internal/joint!"

// law is the import law. A package that no rule fits is an error: say where it
// stands before it is built.
var law = []rule{
	{"api", []string{"api"}, "what users write must not change because the library does"},

	{"objstore", nil, "the door knows nothing of what goes through it"},
	{"objstore/envelope", nil, "the first line of an object means the same to every package"},
	{"objstore/file", []string{"objstore!"}, "a driver knows the promises that it keeps, and nothing of who relies on them"},
	{"objstore/mem", []string{"objstore!"}, "a driver knows the promises that it keeps, and nothing of who relies on them"},
	{"objstore/httpx", []string{"objstore!"}, "what drivers share knows no provider"},
	{"objstore/gcs", []string{"objstore!", "objstore/httpx!"}, "a driver knows the promises that it keeps, and nothing of who relies on them"},
	{"objstore/azblob", []string{"objstore!", "objstore/httpx!"}, "a driver knows the promises that it keeps, and nothing of who relies on them"},
	{"objstore/s3", []string{"objstore!", "objstore/httpx!"}, "a driver knows the promises that it keeps, and nothing of who relies on them"},
	{"objstore/fault", []string{"objstore!"}, "a fault is a fault of the door, whoever knocks"},
	{"objstore/s3serve", []string{"objstore!"}, "it serves any bucket, and knows nothing of what is kept in it"},
	{"objstore/rooturl", []string{"objstore"}, "it only chooses a driver"},
	{"objstore/objstoretest", []string{"objstore"}, "one acceptance suite for every driver, ours or another's"},

	{"wal", nil, "a log is usable without a store"},
	{"control", nil, "what a pod and the operator say to each other is spoken by stores in any language"},
	{"internal/failpoint", nil, "a crash point may stand anywhere"},
	{"internal/joint", nil, "whoever groups what several callers wait for needs it"},

	{"manifest", []string{"objstore!", "objstore/envelope", failpoints, joint}, "what the store is does not depend on who recovers or audits it; a position is a plain number, so not even wal"},
	{"audit", []string{"objstore!", "objstore/envelope", failpoints, joint}, "the trail takes plain words, so that it outlives every form of manifest and sidecar"},
	{"recovery", []string{"manifest", "audit", "objstore!", "objstore/envelope", failpoints}, "recovery decides over values; who asked and where it runs is no input"},
	{"detect", []string{"manifest"}, "facts in, verdicts out: it reads no bucket and no cluster"},
	{"maintenance", []string{"manifest"}, "facts in, verdicts out: it reads no bucket and no cluster"},
	{"maintenance/freeze", []string{"maintenance!", "manifest"}, "what was decided is published: it knows the manifest, and neither the resource nor the cluster"},
	{"maintenance/window", nil, "a time goes in, whether it is a good one comes out"},
	{"recovery/commitlog", []string{"recovery!", "manifest", "objstore!", "objstore/envelope"}, "a table format knows what recovery asks of one, and is known by nobody below"},
	{"rebuild", []string{"manifest", "audit", "objstore!", "objstore/envelope", failpoints}, "a rebuild is one more writer, and knows no cluster"},
	{"store", []string{"store", "recovery", "wal", "control", "manifest", "audit", "objstore!", "objstore/envelope", failpoints}, "the reference store is what a store author copies from: it uses the library and knows no operator"},

	{"store/log", []string{"store/log"}, "a log is usable without a store"},
	{"store/log/mirror", []string{"store/log!", "store/log/mirror", "objstore!", "objstore/envelope"}, "a log's mirror is usable without a store, and knows no manifest: who reigns and what is published it is told"},

	{"conformance", []string{"manifest", "audit", "recovery", "objstore!", "objstore/envelope", "objstore/s3serve"}, "it drives stores in any language: it knows the protocol, and neither the reference store nor a cluster"},

	{"controllers", []string{"api", "controllers", "recovery", "rebuild", "detect", "maintenance", "manifest", "audit", "control", "objstore", failpoints}, "where Kubernetes meets the library; it runs no store"},
	{"cmd", []string{"cmd", "api", "controllers", "recovery", "rebuild", "detect", "maintenance", "manifest", "audit", "control", "store", "wal", "conformance", "objstore", failpoints}, "one binary for everything, and nothing that only tests or builds need"},

	{"examples", []string{"store/log", "recovery!", "control", "manifest", "objstore!", "objstore/envelope"}, "an example shows what a store author needs, and takes nothing that only we have"},
	{"config", nil, "only tests stand here"},
	{"test", []string{"*"}, "tests may look anywhere"},
	{"hack", []string{"*"}, "tools of the builders may look anywhere"},
}

// library are the packages that other programs embed. They are free of
// Kubernetes, of metrics, of loggers, and of clocks and chance that do not come
// in from outside.
var library = []string{"objstore", "wal", "manifest", "audit", "recovery", "detect", "maintenance!", "rebuild", "control", "store", "internal"}

// plain are the packages that need nothing but the standard library.
var plain = []string{"objstore!", "objstore/envelope", "objstore/mem", "objstore/fault", "objstore/s3serve", "wal", "control", "manifest", "audit", "recovery", "detect", "maintenance!", "rebuild", "internal/failpoint", "internal/joint"}

// ban keeps packages out.
type ban struct {
	// what begins the import path.
	what []string
	// from the packages at and below these paths.
	from []string
	// except these.
	except []string
	// through: also when another package of other people's brings it in.
	through bool
	because string
}

var bans = []ban{
	{
		what: []string{"k8s.io/", "sigs.k8s.io/"}, from: library, through: true,
		because: "the library runs in stores that know no Kubernetes; controllers translates",
	},
	{
		what: []string{"github.com/prometheus/", "go.opentelemetry.io/"}, from: library, through: true,
		// Google's client has an instrumented transport, which the driver does not use.
		except:  []string{"objstore/gcs", "objstore/rooturl"},
		because: "the library returns outcomes; controllers counts them",
	},
	{
		what: []string{"log", "log/slog", "github.com/go-logr/", "go.uber.org/zap", "github.com/sirupsen/logrus", "github.com/rs/zerolog", "k8s.io/klog/"}, from: library,
		because: "a library that logs has decided for its caller: return it",
	},
	{
		what: []string{"github.com/aws/", "gocloud.dev/", "cloud.google.com/", "google.golang.org/api/", "github.com/Azure/"}, from: []string{""},
		except:  []string{"objstore/s3", "objstore/gcs", "objstore/azblob", "objstore/objstoretest", "hack", "test"},
		because: "provider codes are translated once, in the driver",
	},
	{
		what: []string{"testing", "net/http/httptest", "github.com/onsi/", "github.com/johannesboyne/"}, from: []string{""},
		except:  []string{"objstore/objstoretest", "store/log/logtest", "hack", "test"},
		because: "what only tests need is not part of the product",
	},
	{
		what: []string{"k8s.io/client-go/", "sigs.k8s.io/controller-runtime", "k8s.io/api/"}, from: []string{"api"},
		except:  []string{"api/v1alpha1/applyconfiguration"},
		because: "whoever imports the types should not get a client with them",
	},
}

// at reports whether a package stands at or below a path; "x!" is x alone, ""
// and "*" are everything.
func at(pkg, path string) bool {
	if alone, ok := strings.CutSuffix(path, "!"); ok {
		return pkg == alone
	}
	return path == "" || path == "*" || pkg == path || strings.HasPrefix(pkg, path+"/")
}

func atAny(pkg string, paths []string) bool {
	for _, p := range paths {
		if at(pkg, p) {
			return true
		}
	}
	return false
}

// ruleOf returns the rule with the longest path that fits.
func ruleOf(pkg string) (rule, bool) {
	var best rule
	found := false
	for _, r := range law {
		if at(pkg, r.at) && (!found || len(r.at) > len(best.at)) {
			best, found = r, true
		}
	}
	return best, found
}

// isStandard reports whether an import path is one of Go's own.
func isStandard(path string) bool {
	first, _, _ := strings.Cut(path, "/")
	return !strings.Contains(first, ".")
}

// matches reports whether an import path is banned by what: the path itself, or
// below it.
func matches(path, what string) bool {
	if isStandard(what) && !strings.HasSuffix(what, "/") {
		return path == what
	}
	return path == strings.TrimSuffix(what, "/") || strings.HasPrefix(path, what)
}

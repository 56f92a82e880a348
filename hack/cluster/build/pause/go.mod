module github.com/salvor-io/salvor/hack/cluster/build/pause

go 1.26.0

module github.com/salvor-io/salvor

go 1.26.0

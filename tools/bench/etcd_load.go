// etcd_load: a closed-loop load on etcd through its own Go client, the counterpart of orrery_resp_load: same options, same
// keys, same JSON line. Built by tools/bench/kv from Debian's golang-etcd-server-dev. A client is a goroutine with one
// operation under way; --connections TCP connections carry them all.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"sort"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"go.etcd.io/etcd/clientv3"
)

type pids []int

func (list *pids) String() string { return fmt.Sprint(*list) }
func (list *pids) Set(text string) error {
	pid, err := strconv.Atoi(text)
	*list = append(*list, pid)
	return err
}

func die(err error) {
	if err != nil {
		fmt.Fprintf(os.Stderr, "etcd_load: error: %v\n", err)
		os.Exit(1)
	}
}

// cpuUs is the processor time of the processes so far: user and system time of all their threads; a tick is 10 ms.
func cpuUs(list pids) float64 {
	total := 0.0
	for _, pid := range list {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		die(err)
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+2:]))
		for _, field := range fields[11:13] {
			ticks, err := strconv.ParseFloat(field, 64)
			die(err)
			total += ticks * 1e6 / 100
		}
	}
	return total
}

func main() {
	port := flag.Int("port", 2379, "client port of the member to talk to")
	clients := flag.Int("clients", 50, "operations under way")
	connections := flag.Int("connections", 4, "TCP connections; at most one for each client")
	seconds := flag.Float64("seconds", 3, "measured")
	warm := flag.Float64("warm", 0.5, "seconds before")
	operation := flag.String("operation", "set", "set (put), get (linearizable)")
	valueBytes := flag.Int("value-bytes", 64, "")
	keys := flag.Uint64("keys", 10000, "")
	var servers pids
	flag.Var(&servers, "pid", "of a server; repeated")
	flag.Parse()
	if *operation != "set" && *operation != "get" {
		die(fmt.Errorf("unknown operation '%s'", *operation))
	}
	if *connections > *clients {
		*connections = *clients
	}

	var links []*clientv3.Client
	for i := 0; i < *connections; i++ {
		link, err := clientv3.New(clientv3.Config{Endpoints: []string{fmt.Sprintf("127.0.0.1:%d", *port)}, DialTimeout: 5 * time.Second})
		die(err)
		links = append(links, link)
	}
	value := strings.Repeat("v", *valueBytes)
	measuredFrom := time.Now().Add(time.Duration(*warm * 1e9))
	end := measuredFrom.Add(time.Duration(*seconds * 1e9))
	var nextKey uint64
	latencies := make([][]time.Duration, *clients)
	var errors uint64
	var firstError atomic.Value
	var done sync.WaitGroup
	for i := 0; i < *clients; i++ {
		done.Add(1)
		go func(i int) {
			defer done.Done()
			link := links[i%len(links)]
			for begin := time.Now(); begin.Before(end); begin = time.Now() {
				key := fmt.Sprintf("key:%012d", atomic.AddUint64(&nextKey, 7919)%*keys)
				var err error
				if *operation == "set" {
					_, err = link.Put(context.Background(), key, value)
				} else {
					_, err = link.Get(context.Background(), key)
				}
				finish := time.Now()
				if finish.Before(measuredFrom) || finish.After(end) {
					continue
				}
				if err != nil {
					atomic.AddUint64(&errors, 1)
					firstError.CompareAndSwap(nil, err.Error())
				}
				latencies[i] = append(latencies[i], finish.Sub(begin))
			}
		}(i)
	}
	time.Sleep(time.Until(measuredFrom))
	before := cpuUs(servers)
	time.Sleep(time.Until(end))
	used := cpuUs(servers) - before
	done.Wait()

	var all []time.Duration
	for _, some := range latencies {
		all = append(all, some...)
	}
	sort.Slice(all, func(a, b int) bool { return all[a] < all[b] })
	quantile := func(q float64) float64 {
		if len(all) == 0 {
			return 0
		}
		return float64(all[int(q*float64(len(all)-1))].Nanoseconds()) / 1000
	}
	each := 0.0
	if len(all) > 0 {
		each = used / float64(len(all))
	}
	fmt.Printf(`{"operation":"%s","clients":%d,"connections":%d,"seconds":%.2f,"ops_per_s":%.0f,"p50_us":%.1f,"p99_us":%.1f,"server_cpu_us_per_op":%.2f,"errors":%d`,
		*operation, *clients, len(links), *seconds, float64(len(all))/(*seconds), quantile(0.5), quantile(0.99), each, errors)
	if text := firstError.Load(); text != nil {
		fmt.Printf(`,"first_error":%q`, text)
	}
	fmt.Println("}")
}

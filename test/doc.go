// Package test guards what holds for the whole repository; its folders hold what the tests need.
package test

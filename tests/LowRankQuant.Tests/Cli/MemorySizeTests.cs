using LowRankQuant.Cli.Options;

namespace LowRankQuant.Tests.Cli;

public class MemorySizeTests
{
    [Theory]
    [InlineData("1", 1L)]
    [InlineData("512M", 512L << 20)]
    [InlineData("4G", 4L << 30)]
    [InlineData("4g", 4L << 30)]
    [InlineData("4GB", 4L << 30)]
    [InlineData("4GiB", 4L << 30)]
    [InlineData("1.5G", 1536L << 20)]
    [InlineData("64 KiB", 64L << 10)]
    [InlineData("2T", 2L << 40)]
    [InlineData(" 100B ", 100L)]
    public void SizesAreRead(string text, long bytes) => Assert.Equal(bytes, MemorySize.Parse(text));

    [Theory]
    [InlineData("")]
    [InlineData("G")]
    [InlineData("lots")]
    [InlineData("-4G")]
    [InlineData("0")]
    [InlineData("4X")]
    [InlineData("1,5G")]
    [InlineData("1e30G")]
    [InlineData("NaN")]
    [InlineData("4GG")]
    public void WhatIsNoSizeIsRefused(string text) => Assert.Null(MemorySize.Parse(text));

    [Theory]
    [InlineData(0L, "0 B")]
    [InlineData(999L, "999 B")]
    [InlineData(1024L, "1.00 KiB")]
    [InlineData(1536L << 20, "1.50 GiB")]
    [InlineData(20L << 20, "20.0 MiB")]
    [InlineData(200L << 20, "200 MiB")]
    public void SizesArePrinted(long bytes, string text) => Assert.Equal(text, MemorySize.Format(bytes));
}

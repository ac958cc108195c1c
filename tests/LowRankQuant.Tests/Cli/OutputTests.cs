using LowRankQuant.Cli.Output;
using LowRankQuant.Evaluation.Figures;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports;

namespace LowRankQuant.Tests.Cli;

public class OutputTests
{
    [Fact]
    public void TheTableHoldsTheThreeModelsSideBySide()
    {
        var errors = new Dictionary<string, double> { ["perplexity"] = 0.05, ["klDivergence"] = 0.002, ["top1Agreement"] = 0.003 };
        string table = ResultTable.Of(new RunReport
        {
            Method = "lrq",
            Scheme = "w3",
            Output = "out",
            BitsPerWeight = 3.125,
            Bf16Bytes = 270L << 20,
            ResultBytes = 60L << 20,
            ResultBitsPerParameter = 3.5555,
            RtnBytes = 58L << 20,
            FullPrecision = new EvaluationResult { Perplexity = 10.291, StandardErrors = errors },
            Rtn = new EvaluationResult { Perplexity = 14.2, KlDivergence = 0.31, Top1Agreement = 0.72, StandardErrors = errors, BitsPerWeight = 3.03, ModelBitsPerWeight = 3.4444 },
            Result = new EvaluationResult { Perplexity = 11, KlDivergence = 0.08, Top1Agreement = 0.855, StandardErrors = errors },
        });
        string[] lines = table.Split('\n');
        Assert.Equal(["perplexity", "KL", "divergence", "top-1", "bits/weight", "size", "bits/parameter"], lines[0].Split(' ', StringSplitOptions.RemoveEmptyEntries));
        Assert.Matches(@"^full precision +10\.291? ± 0\.05 +- +- +16\.00 +270 MiB +16\.00$", lines[2]);
        Assert.Matches(@"^rtn +14\.20 ± 0\.05 +0\.3100 ± 0\.002 +72\.00 ± 0\.30 % +3\.03 +58\.0 MiB +3\.44$", lines[3]);
        Assert.Matches(@"^lrq +11\.00 ± 0\.05 +0\.0800\d* ± 0\.002 +85\.50 ± 0\.30 % +3\.1[23] +60\.0 MiB +3\.56$", lines[4]);
        Assert.Single(lines[2..5].Select(line => line.Length).Distinct());
    }

    [Fact]
    public void ASourceThatIsQuantizedIsCalledSo()
    {
        string table = ResultTable.Of(new RunReport
        {
            Method = "lrq",
            Scheme = "w3",
            Output = "out",
            SourceTypes = "Q4_1",
            SourceBitsPerWeight = 5,
            SourceBytes = 94L << 20,
            Bf16Bytes = 270L << 20,
            FullPrecision = new EvaluationResult { Perplexity = 20.73, ModelBitsPerWeight = 5.858 },
        });
        Assert.Matches(@"^source \(Q4_1\) +20\.73 +- +- +5\.00 +94\.0 MiB +5\.86$", table.Split('\n')[2]);
        Assert.DoesNotContain("full precision", table, StringComparison.Ordinal);
    }

    [Fact]
    public void WhatWasNotMeasuredIsAbsentAndNotZero()
    {
        string table = ResultTable.Of(new RunReport { Method = "rtn", Scheme = "w3", Output = "out" });
        Assert.DoesNotContain("0", table, StringComparison.Ordinal);
        Assert.DoesNotContain("full precision", table, StringComparison.Ordinal);
    }

    [Theory]
    [InlineData(8.12, "8.1 s")]
    [InlineData(59.96, "1 min 00 s")]
    [InlineData(245, "4 min 05 s")]
    [InlineData(7380, "2 h 03 min")]
    public void Durations(double seconds, string text) => Assert.Equal(text, Format.Duration(seconds));

    [Theory]
    [InlineData(null, "-")]
    [InlineData(0.0, "0")]
    [InlineData(20.7345, "20.73")]
    [InlineData(0.01234, "0.01234")]
    [InlineData(551.64, "551.6")]
    [InlineData(1.5e-7, "1.500e-7")]
    [InlineData(double.PositiveInfinity, "Infinity")]
    public void Numbers(double? value, string text) => Assert.Equal(text, Format.Number(value));

    [Fact]
    public void TheLogKeepsEveryLineFromTheFirstOn()
    {
        using var folder = new TemporaryFolder();
        string log = folder.File("work/run.log");
        var clock = new SteppedTime();
        using var shown = new StringWriter { NewLine = "\n" };
        using (var narrator = new RunNarrator(new PlainView(shown), clock))
        {
            narrator.Note("before the folder is known");
            narrator.LogTo(log);
            narrator.BeginBlocks(3, 1);
            narrator.Block(new BlockReport(0, 4, 2, 2.5, 5, 9));
            clock.Advance(20);
            narrator.Step(new BlockProgress(1, 50, 100, 3));
            clock.Advance(20);
            narrator.Block(new BlockReport(1, 4, 2, null, null, 40) { Warnings = ["diverged once"] });
            // Read while it is open: a killed run leaves every line.
            Assert.Equal(shown.ToString().TrimEnd('\n').Split('\n'), ReadShared(log).Select(line => line[(line.IndexOf("Z  ", StringComparison.Ordinal) + 3)..]));
        }
        string text = shown.ToString();
        Assert.Contains("1 of 3 blocks are finished", text, StringComparison.Ordinal);
        Assert.Contains("block 1/3  loss 4.000 -> 2.000  held-out 5.000 -> 2.500  9.0 s  (earlier session)", text, StringComparison.Ordinal);
        // 20 s for half a block: 20 more, and 40 for the block after it.
        Assert.Contains("block 2/3, step 50/100, loss 3.000, 1 min 00 s left", text, StringComparison.Ordinal);
        Assert.Contains("block 2/3  loss 4.000 -> 2.000  40.0 s  40.0 s left", text, StringComparison.Ordinal);
        Assert.Contains("warning: block 2: diverged once", text, StringComparison.Ordinal);
    }

    private static string[] ReadShared(string path)
    {
        using var reader = new StreamReader(new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite));
        return reader.ReadToEnd().TrimEnd('\n').Split('\n');
    }

    private sealed class SteppedTime : TimeProvider
    {
        private double _seconds;

        public override long TimestampFrequency => 1000;

        public void Advance(double seconds) => _seconds += seconds;

        public override long GetTimestamp() => (long)(_seconds * TimestampFrequency);
    }
}

using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Planning;
using LowRankQuant.Quantization.Recipes;

namespace LowRankQuant.Tests.Quantization.Planning;

/// <summary>What the estimate of a block counts.</summary>
public sealed class BlockTimingTests : IDisposable
{
    private readonly PlannedDemo _demo = new();

    [Fact]
    public void RangesOfAStaticSchemeAndItsStreamsTakeTime()
    {
        BlockTiming time = _demo.Time(_demo.Recipe("w8a8", "rtn"));
        Assert.True(time is { Preparing: > 0, Window: > 0 }, $"{time}");
        // All windows quantized, and those held out in full precision; rounding for the first figure beside that of the method.
        Assert.True(time.Streams > time.Rounding + (time.Window * PlannedDemo.HeldOut), $"{time}");
        Assert.Equal(time.Rounding, time.Method, 1e-12);
        Assert.Equal(time.Loading + time.Preparing + time.Streams + time.Method + time.Storing, time.Seconds, 1e-12);
    }

    [Fact]
    public void ARunWithoutTextTakesNoStreams()
    {
        BlockTiming time = _demo.Time(_demo.Recipe("w8a8-dynamic", "rtn"));
        Assert.Equal((0, 0), (time.Streams, time.Window));
        Assert.Equal(time.Rounding, time.Method, 1e-12);
    }

    [Fact]
    public void WithoutASchemeNothingIsPrepared()
    {
        BlockTiming time = _demo.Time(_demo.Recipe("w4a16", "lrq", ("iterations", 2)));
        Assert.Equal(0, time.Preparing);
        Assert.True(time is { Streams: > 0, Method: > 0, Window: > 0 });
    }

    /// <summary>A slow block among the four of the model is a fourth of its time in the mean.</summary>
    [Fact]
    public void ABlockWithAMethodOfItsOwnIsCounted()
    {
        BlockTiming time = _demo.Time(_demo.Recipe("w8a8", "rtn") with { Blocks = [new BlockRecipe([2], new Waiting(), 1)] });
        Assert.InRange(time.Method - (0.75 * time.Rounding), Waiting.Seconds / 4, Waiting.Seconds / 2);
    }

    /// <summary>A training may start again twice, and does all of its steps and measurements each time; that of the paper never does.</summary>
    [Fact]
    public void ATrainingSaysHowOftenItMayStartAgain()
    {
        TimedPart usual = Assert.Single(_demo.Recipe("w4a16", "lrq").Method.TimedParts), residual = _demo.Recipe("w4a16", "flrq", ("residual", "lrq")).Method.TimedParts[^1];
        Assert.Equal((2, 10), (usual.Restarts, usual.RestartPasses(PlannedDemo.Samples, PlannedDemo.HeldOut)));
        // What the fit before it takes is not done again.
        Assert.Equal((2, 10), (residual.Restarts, residual.RestartPasses(PlannedDemo.Samples, PlannedDemo.HeldOut)));
        Assert.Equal(0, Assert.Single(_demo.Recipe(new RecipeRequest { Preset = "paper", Scheme = "w4a16", Method = "lrq" }).Method.TimedParts).Restarts);
    }

    /// <summary>What starts again is told beside the estimate, not within it, and counts for the blocks that have it.</summary>
    [Fact]
    public void TrainingsThatStartAgainAreToldApart()
    {
        BlockTiming time = _demo.Time(_demo.Recipe("w4a16", "rtn") with { Samples = 1, Blocks = [new BlockRecipe([0, 2], new Restarting(1), 1)] });
        // Two of four blocks; ten steps, twice more. A sleep may end a little early.
        Assert.InRange(time.Method - (0.5 * time.Rounding), 9.5 * Restarting.StepSeconds / 2, 13 * Restarting.StepSeconds / 2);
        Assert.InRange(time.Restarts, 18 * Restarting.StepSeconds / 2, 26 * Restarting.StepSeconds / 2);
        Assert.Equal(time.Loading + time.Preparing + time.Streams + time.Method + time.Storing, time.Seconds, 1e-12);
        Assert.Equal(0, _demo.Time(_demo.Recipe("w8a8-dynamic", "rtn")).Restarts);
    }

    [Fact]
    public void ASearchForAlphaTakesItsPasses()
    {
        BlockTiming searched = _demo.Time(_demo.Recipe(Smooth("auto"))), fixedAlpha = _demo.Time(_demo.Recipe(Smooth("0.8")));
        // Nine alphas, each with ranges, rounded weights and an error.
        Assert.True(searched.Preparing > fixedAlpha.Preparing, $"{searched.Preparing} s with a search, {fixedAlpha.Preparing} s without");

        static RecipeRequest Smooth(string alpha) => new()
        {
            Scheme = "w8a8",
            Method = "rtn",
            Transforms = [new TransformStage("smoothquant", Asked.For(("alpha", alpha)))],
        };
    }

    public void Dispose() => _demo.Dispose();

    /// <summary>A method that only waits.</summary>
    private abstract record Idle : MethodSettings
    {
        public override string Method => "waiting";

        public override IReadOnlyList<KeyValuePair<string, string>> Values => [];

        public override string Describe() => "waits";
    }

    /// <summary>One that looks at no text.</summary>
    private sealed record Waiting : Idle
    {
        public const double Seconds = 0.6;

        public override IBlockMethod Create() => new Wait(Seconds, needsText: false);
    }

    /// <summary>One of ten steps that may start again twice.</summary>
    private sealed record Restarting(int Steps) : Idle
    {
        public const double StepSeconds = 0.05;

        public override IReadOnlyList<TimedPart> TimedParts => [new TimedPart(steps => new Restarting(steps), _ => 1, 1, 4, (_, _) => 10) { Restarts = 2 }];

        public override IBlockMethod Create() => new Wait(Steps * StepSeconds, needsText: true);
    }

    private sealed class Wait(double seconds, bool needsText) : IBlockMethod
    {
        public string Name => "waiting";

        public bool NeedsCalibration => needsText;

        public QuantizedBlock Quantize(BlockContext context)
        {
            Thread.Sleep(TimeSpan.FromSeconds(seconds));
            return new QuantizedBlock([]);
        }
    }
}

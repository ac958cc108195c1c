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

    /// <summary>A method that looks at no text and only waits.</summary>
    private sealed record Waiting : MethodSettings
    {
        public const double Seconds = 0.6;

        public override string Method => "waiting";

        public override IReadOnlyList<KeyValuePair<string, string>> Values => [];

        public override IBlockMethod Create() => new Work();

        public override string Describe() => "waits";

        private sealed class Work : IBlockMethod
        {
            public string Name => "waiting";

            public bool NeedsCalibration => false;

            public QuantizedBlock Quantize(BlockContext context)
            {
                Thread.Sleep(TimeSpan.FromSeconds(Seconds));
                return new QuantizedBlock([]);
            }
        }
    }
}

using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;

namespace LowRankQuant.Tests.Quantization;

public class RecipeResolverTests
{
    private static readonly RecipeRequest Trained = new() { HasCalibration = true };

    [Fact]
    public void FastIsTheDefaultAndIsWholeByItself()
    {
        Recipe recipe = Resolve(Trained with { Bits = 3 }).Recipe;
        Assert.Equal(("fast", "lrq", 3), (recipe.Preset, recipe.Method.Method, recipe.Bits));
        Assert.Equal((Granularity.Channel, 0, false), (recipe.Granularity, recipe.GroupSize, recipe.Symmetric));
        Assert.Equal((GridStart.Search, ScaleType.Float16), (recipe.Method.Start, recipe.ScaleType));
        Assert.Equal((LossWeighting.Relative, true), (recipe.Loss, recipe.Method.Training!.KeepBest));
        Assert.True(recipe is { Samples: > 0, HeldOut: > 0, SequenceLength: 512, Batch: 2, Method.Training: { Iterations: > 0, LearningRate: > 0 } });
        Assert.Equal("128", recipe.Value("rank"));
    }

    [Fact]
    public void PaperIsThePublishedSetting()
    {
        Recipe recipe = Resolve(Trained with { Preset = "paper" }).Recipe;
        Assert.Equal((512, 1024, 5000, 2), (recipe.Samples, recipe.SequenceLength, recipe.Method.Training!.Iterations, recipe.Batch));
        Assert.Equal((LossWeighting.Plain, false, 0), (recipe.Loss, recipe.Method.Training.KeepBest, recipe.HeldOut));
        // The released code trains once and keeps the last step.
        Assert.Equal(0, recipe.Method.Training.Restarts);
        Assert.Equal(0, Resolve(Trained with { Preset = "paper", Method = "flrq", Options = Asked.For(("residual", "lrq")) }).Recipe.Method.Training!.Restarts);
        Assert.Null(Resolve(Trained with { Preset = "paper", Method = "flrq" }).Recipe.Method.Training);
        Assert.Equal(2, Resolve(Trained).Recipe.Method.Training!.Restarts);
    }

    [Theory]
    [InlineData("lrq", 4, 9e-4, GridStart.MinMax)]
    [InlineData("lrq", 8, 9e-4, GridStart.MinMax)]
    [InlineData("lrq", 3, 6e-4, GridStart.Search)]
    [InlineData("lrq", 2, 6e-4, GridStart.Search)]
    [InlineData("lrq-hybrid", 3, 6e-4, GridStart.Search)]
    [InlineData("flexround", 4, 3e-3, GridStart.MinMax)]
    [InlineData("flexround", 3, 2.5e-3, GridStart.MinMax)]
    public void PaperTakesRateAndStartOfTheNearestSizeAndBits(string method, int bits, double rate, GridStart start)
    {
        Recipe recipe = Resolve(Trained with { Preset = "paper", Method = method, Bits = bits }).Recipe;
        Assert.Equal((rate, start), (recipe.Method.Training!.LearningRate, recipe.Method.Start));
    }

    [Theory]
    [InlineData(5120, 13824, 40, 5e-4, 1024)]
    [InlineData(8192, 28672, 80, 5e-4, 2048)]
    public void PaperKnowsLargerModels(int hidden, int intermediate, int layers, double rate, int rank)
    {
        DecoderConfig model = Model() with { HiddenSize = hidden, IntermediateSize = intermediate, Layers = layers, Heads = hidden / 128, KeyValueHeads = 8, HeadSize = 128 };
        Recipe recipe = RecipeResolver.Resolve(BuiltInMethods.Catalog, Trained with { Preset = "paper", Bits = 3 }, model, ModelLayout.OfBlock(Linears(model), model.Layers), ScaleType.Float16).Recipe;
        Assert.Equal((rate, $"{rank}"), (recipe.Method.Training!.LearningRate, recipe.Value("rank")));
        Assert.Equal(layers == 80 ? GridStart.MinMax : GridStart.Search, recipe.Method.Start);
    }

    [Fact]
    public void AllProblemsAreToldAtOnce()
    {
        RecipeException failure = Assert.Throws<RecipeException>(() => Resolve(
            new RecipeRequest
            {
                Preset = "slow",
                Method = "lrq",
                Bits = 9,
                GroupSize = 100,
                Options = Asked.For(("rank", 0), ("iterations", -1), ("learning_rate", double.NaN), ("batch", 5)),
                Samples = 4,
                HeldOut = -2,
                SequenceLength = 5000,
            }));
        foreach (string option in new[] { "`preset`", "`bits`", "`group_size`", "`rank`", "`iterations`", "`learning_rate`", "`batch`", "`held_out`", "`sequence_length`", "`calibration`" })
            Assert.Single(failure.Problems, problem => problem.Contains(option, StringComparison.Ordinal));
        Assert.Equal(10, failure.Problems.Count);
    }

    [Fact]
    public void UnknownMethodsNameTheKnown() =>
        Assert.Contains("lrq, lrq-hybrid, flexround, rtn", Assert.Single(Problems(Trained with { Method = "nobody-knows-it" })), StringComparison.Ordinal);

    [Fact]
    public void AGroupThatDoesNotDivideNamesThoseThatDo()
    {
        string problem = Assert.Single(Problems(Trained with { GroupSize = 128 }));
        Assert.Contains("rows of 576 (q, k, v, o, gate, up) take 8, 9, 12, 16, 18, 24, 32, 36, 48, 64, 72, 96, 144, 192, 288, 576", problem, StringComparison.Ordinal);
        Assert.Contains("rows of 1536 (down) take it, as well as 8, 12, 16, 24, 32, 48, 64, 96, 192", problem, StringComparison.Ordinal);
        Assert.EndsWith("Sizes that divide all: 8, 12, 16, 24, 32, 48, 64, 96, 192.", problem, StringComparison.Ordinal);
        Assert.Equal((Granularity.Group, 64), (Resolve(Trained with { GroupSize = 64 }).Recipe.Granularity, Resolve(Trained with { GroupSize = 64 }).Recipe.GroupSize));
    }

    [Fact]
    public void OneScaleForAMatrixIsForRoundToNearest()
    {
        Assert.Contains("does not work with method lrq", Assert.Single(Problems(Trained with { Granularity = Granularity.Tensor })), StringComparison.Ordinal);
        Assert.Equal(Granularity.Tensor, Resolve(new RecipeRequest { Method = "rtn", Granularity = Granularity.Tensor }).Recipe.Granularity);
    }

    [Fact]
    public void OptionsOfOtherMethodsAreRefused()
    {
        IReadOnlyList<string> problems = Problems(new RecipeRequest { Method = "rtn", Options = Asked.For(("rank", 4), ("iterations", 3), ("learning_rate", 1), ("batch", 1), ("loss", "plain"), ("keep_best", false)), Samples = 3 });
        Assert.Equal(7, problems.Count);
        Assert.All(problems, problem => Assert.Contains("does not apply to method rtn", problem, StringComparison.Ordinal));
        Assert.Contains("`rank` does not apply to method flexround", Assert.Single(Problems(Trained with { Method = "flexround", Options = Asked.For(("rank", 4)) })), StringComparison.Ordinal);
        Assert.Contains("`rank` does not apply to method lrq-hybrid", Assert.Single(Problems(Trained with { Method = "lrq-hybrid", Options = Asked.For(("rank", 4)) })), StringComparison.Ordinal);
    }

    [Fact]
    public void RoundToNearestMeasuresOnHeldOutWindowsWhenThereIsText()
    {
        Assert.Equal(0, Resolve(new RecipeRequest { Method = "rtn" }).Recipe.HeldOut);
        Recipe measured = Resolve(Trained with { Method = "rtn", Samples = 4, HeldOut = 3 }).Recipe;
        Assert.Equal((4, 3, null), (measured.Samples, measured.HeldOut, measured.Method.Training));
    }

    [Fact]
    public void RanksAreCutToTheMatrixWithANote()
    {
        ResolvedRecipe cut = Resolve(Trained with { Options = Asked.For(("rank", 1000)) });
        Assert.Equal("576", cut.Recipe.Value("rank"));
        Assert.Contains("Rank 1000 is cut to 576", Assert.Single(cut.Notes), StringComparison.Ordinal);
        ResolvedRecipe some = Resolve(Trained with { Options = Asked.For(("rank", 300)) });
        Assert.Equal("300", some.Recipe.Value("rank"));
        Assert.Contains("k, v", Assert.Single(some.Notes), StringComparison.Ordinal);
        ResolvedRecipe full = Resolve(Trained with { Options = Asked.For(("rank", "full")) });
        Assert.Equal("576", full.Recipe.Value("rank"));
        Assert.Empty(full.Notes);
    }

    [Fact]
    public void KeepingTheBestNeedsWindowsToJudgeBy()
    {
        Assert.Contains("`held_out`", Assert.Single(Problems(Trained with { HeldOut = 0 })), StringComparison.Ordinal);
        Assert.False(Resolve(Trained with { HeldOut = 0, Options = Asked.For(("keep_best", false)) }).Recipe.Method.Training!.KeepBest);
        Assert.True(Resolve(Trained with { Preset = "paper", Options = Asked.For(("keep_best", true)) }).Recipe is { Method.Training.KeepBest: true, HeldOut: > 0 });
    }

    [Fact]
    public void ShortModelsShortenTheWindowsOfThePresetButNotOnesAskedFor()
    {
        DecoderConfig small = Model() with { MaxPositions = 256 };
        ResolvedRecipe resolved = RecipeResolver.Resolve(BuiltInMethods.Catalog, Trained, small, ModelLayout.OfBlock(Linears(small), small.Layers), ScaleType.Float16);
        Assert.Equal(256, resolved.Recipe.SequenceLength);
        Assert.Contains("256", Assert.Single(resolved.Notes), StringComparison.Ordinal);
        Assert.Throws<RecipeException>(() => RecipeResolver.Resolve(BuiltInMethods.Catalog, Trained with { SequenceLength = 512 }, small, ModelLayout.OfBlock(Linears(small), small.Layers), ScaleType.Float16));
    }

    [Fact]
    public void BundledTextCutsWhatWasNotAskedForAndSaysSo()
    {
        RecipeRequest request = Trained with { BundledTokens = 30_000 };
        ResolvedRecipe cut = Resolve(request);
        Assert.True(((long)cut.Recipe.Samples + cut.Recipe.HeldOut) * cut.Recipe.SequenceLength <= 30_000);
        Assert.Contains("30000 tokens", Assert.Single(cut.Notes), StringComparison.Ordinal);
        ResolvedRecipe fits = Resolve(request with { Samples = 4, HeldOut = 2 });
        Assert.Equal((4, 2, 512), (fits.Recipe.Samples, fits.Recipe.HeldOut, fits.Recipe.SequenceLength));
        Assert.Empty(fits.Notes);
        Assert.Contains("30000", Assert.Single(Problems(request with { Samples = 96, SequenceLength = 512 })), StringComparison.Ordinal);
    }

    // The preset asks for 256 + 8 windows of 512.
    [Theory]
    [InlineData(100_000, 190, 5, 512)]
    [InlineData(5_200, 9, 1, 512)]
    [InlineData(1_100, 1, 1, 512)]
    [InlineData(600, 1, 1, 256)]
    [InlineData(130, 1, 1, 64)]
    public void ATextOfTheUserGivesAsManyWindowsAsItHas(long tokens, int samples, int heldOut, int length)
    {
        ResolvedRecipe cut = Resolve(Trained with { CalibrationTokens = tokens });
        Assert.Equal((samples, heldOut, length), (cut.Recipe.Samples, cut.Recipe.HeldOut, cut.Recipe.SequenceLength));
        Assert.Equal($"The calibration text has {tokens} tokens: {samples} + {heldOut} held-out windows of {length} tokens are used instead of 256 + 8 of 512; " +
            "`samples`, `held_out` and `sequence_length` choose others.", Assert.Single(cut.Notes));
    }

    [Fact]
    public void WhatWasAskedForIsNotCut()
    {
        RecipeRequest request = Trained with { CalibrationTokens = 10_300 };
        ResolvedRecipe kept = Resolve(request with { Samples = 18 });
        Assert.Equal((18, 2, 512), (kept.Recipe.Samples, kept.Recipe.HeldOut, kept.Recipe.SequenceLength));
        kept = Resolve(request with { HeldOut = 5 });
        Assert.Equal((15, 5), (kept.Recipe.Samples, kept.Recipe.HeldOut));
        kept = Resolve(request with { SequenceLength = 256 });
        Assert.Equal((39, 1, 256), (kept.Recipe.Samples, kept.Recipe.HeldOut, kept.Recipe.SequenceLength));
        kept = Resolve(request with { HeldOut = 0, Options = Asked.For(("keep_best", false)) });
        Assert.Equal((20, 0), (kept.Recipe.Samples, kept.Recipe.HeldOut));
        Assert.Equal(
            "The calibration text has 10300 tokens: 20 windows of 512 fit, and 100 + 8 held-out ones are asked for. Give more text, or ask for fewer (`samples`, `held_out`) or shorter windows (`sequence_length`).",
            Assert.Single(Problems(request with { Samples = 100 })));
        Assert.Contains("0 windows of 64 fit", Assert.Single(Problems(Trained with { CalibrationTokens = 60 })), StringComparison.Ordinal);
    }

    private static ResolvedRecipe Resolve(RecipeRequest request) =>
        RecipeResolver.Resolve(BuiltInMethods.Catalog, request, Model(), ModelLayout.OfBlock(Linears(Model()), Model().Layers), ScaleType.Float16);

    private static IReadOnlyList<string> Problems(RecipeRequest request) => Assert.Throws<RecipeException>(() => Resolve(request)).Problems;

    private static LinearShape[] Linears(DecoderConfig model)
    {
        int d = model.HiddenSize, kv = model.KeyValueHeads * model.HeadSize, f = model.IntermediateSize;
        return [new("q", d, d), new("k", kv, d), new("v", kv, d), new("o", d, d), new("gate", f, d), new("up", f, d), new("down", d, f)];
    }

    /// <summary>The sizes of SmolLM2-135M.</summary>
    internal static DecoderConfig Model() => new()
    {
        ModelType = "llama",
        HiddenSize = 576,
        Layers = 30,
        Heads = 9,
        KeyValueHeads = 3,
        HeadSize = 64,
        IntermediateSize = 1536,
        VocabularySize = 49152,
        MaxPositions = 2048,
        NormEpsilon = 1e-5f,
        Activation = Activation.Silu,
        Rope = new RopeConfig { Theta = 10000, RotatedSize = 64 },
        TiedEmbeddings = true,
    };
}

using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Targets;
using LowRankQuant.Tests.Quantization.Calibration;

namespace LowRankQuant.Tests.Quantization.Tuning;

/// <summary>What may be asked of tuning, and what is refused.</summary>
public sealed class TuningResolverTests
{
    private static readonly LinearShape[] Linears = [new("q", 256, 256), new("down", 256, 512)];
    private static readonly RecipeRequest Lrq = new() { Method = "lrq", HasCalibration = true };

    [Fact]
    public void StepsAreWhatAsksForIt()
    {
        Assert.Null(Resolve(Lrq).Tuning);
        Assert.Null(Resolve(Lrq with { TuneSteps = 0 }).Tuning);
        Assert.Equal(new TuningRecipe { Steps = 50, LearningRate = 1e-3, Batch = 4, Samples = 256 }, Resolve(Lrq with { TuneSteps = 50 }).Tuning);
        Assert.Equal(
            new TuningRecipe { Steps = 9, LearningRate = 1e-2, Batch = 3, Samples = 300 },
            Resolve(Lrq with { TuneSteps = 9, TuneRate = 1e-2, TuneBatch = 3, TuneSamples = 300, Method = "rtn" }).Tuning);
        Assert.Equal(2, Resolve(Lrq with { TuneSteps = 50, Samples = 2 }).Tuning!.Batch);
    }

    [Fact]
    public void PlusIsTunedWhereSomethingTellsWhenItOverFits()
    {
        RecipeRequest plus = Lrq with { Method = "flrq+", Granularity = Granularity.Group, GroupSize = 64, Options = Asked.For(("target_bits", 2.7)) };
        Assert.Equal(new TuningRecipe { Steps = 64, LearningRate = 4e-3, Batch = 4, Samples = 256 }, Resolve(plus).Tuning);
        Assert.Null(Resolve(plus with { Options = Asked.For(("target_bits", 3.8)) }).Tuning);
        Assert.Equal(2e-3, Resolve(plus with { Options = Asked.For(("target_bits", 3.8)), TuneSteps = 9 }).Tuning!.LearningRate);
        Assert.Null(Resolve(plus with { HeldOut = 0 }).Tuning);
        Assert.Null(Resolve(plus with { TuneSteps = 0 }).Tuning);
        Assert.Null(Resolve(Lrq with { Method = "flrq+", Grid = "q3_k" }).Tuning);
        Assert.Null(Resolve(plus with { Method = "flrq", Bits = 2, Options = Asked.For() }).Tuning);
    }

    [Fact]
    public void EverythingWrongIsSaidAtOnce()
    {
        string all = string.Join('\n', Assert.Throws<RecipeException>(() => Resolve(
            Lrq with { TuneSteps = 3, TuneRate = double.NaN, TuneBatch = 9, Samples = 8, Grid = "q3_k", Method = "rtn", HasCalibration = false })).Problems);
        Assert.Contains("`tune.steps` learns from text", all, StringComparison.Ordinal);
        Assert.Contains("`tune.steps` does not apply to two-level grids", all, StringComparison.Ordinal);
        Assert.Contains("`tune.rate` NaN", all, StringComparison.Ordinal);
        all = string.Join('\n', Assert.Throws<RecipeException>(() => Resolve(Lrq with { TuneSteps = 3, TuneBatch = 9, Samples = 8 })).Problems);
        Assert.Contains("`tune.batch` 9: must be 1 to the number of calibration windows, 8", all, StringComparison.Ordinal);
        all = string.Join('\n', Assert.Throws<RecipeException>(() => Resolve(Lrq with { TuneSteps = -1, TuneRate = 1, TuneBatch = 1, TuneSamples = 1 })).Problems);
        Assert.Contains("`tune.steps` -1: must be at least 0", all, StringComparison.Ordinal);
        Assert.Contains("`tune.rate` needs `tune.steps`", all, StringComparison.Ordinal);
        Assert.Contains("`tune.batch` needs `tune.steps`", all, StringComparison.Ordinal);
        Assert.Contains("`tune.samples` needs `tune.steps`", all, StringComparison.Ordinal);
        all = string.Join('\n', Assert.Throws<RecipeException>(() => Resolve(Lrq with { TuneSteps = 3, TuneSamples = 5, Samples = 8 })).Problems);
        Assert.Contains("`tune.samples` 5: at least the 8 calibration windows of the method", all, StringComparison.Ordinal);
    }

    [Fact]
    public void CodesMoveWhereSomebodyAsksAndByLrqPlusInModelsThatAreNotLarge()
    {
        Assert.Null(Resolve(Lrq with { TuneSteps = 4 }).Tuning!.CodeRate);
        Assert.Equal(0.05, Resolve(Lrq with { TuneSteps = 4, TuneCodeRate = 0.05 }).Tuning!.CodeRate);
        RecipeRequest plus = Lrq with { Method = "lrq+" };
        Assert.Equal((64, 0.0125), (Resolve(plus).Tuning!.Steps, Resolve(plus).Tuning!.CodeRate));
        Assert.Equal(0.00625, Resolve(plus with { TuneSteps = 256 }).Tuning!.CodeRate);
        Assert.Equal(0, Resolve(plus with { TuneCodeRate = 0 }).Tuning!.CodeRate);
        Assert.Null(Resolve(plus with { HeldOut = 0, Options = Asked.For(("keep_best", false)) }).Tuning);
        ResolvedRecipe large = RecipeResolver.Resolve(
            BuiltInMethods.Catalog, plus, CalibrationLoaderTests.Config() with { MaxPositions = 512 }, ModelLayout.OfBlock([new LinearShape("up", 1 << 15, 1 << 15)], 2), ScaleType.Float16);
        Assert.Equal(0, large.Recipe.Tuning!.CodeRate);
        Assert.Contains(large.Notes, note => note.StartsWith("Codes stay while the whole model is tuned: with 2.1 billion weights they would take 43 GB", StringComparison.Ordinal));
        foreach (double wrong in new[] { -0.1, double.NaN, double.PositiveInfinity })
            Assert.Contains("`tune.code_rate`", Assert.Single(Assert.Throws<RecipeException>(() => Resolve(Lrq with { TuneSteps = 4, TuneCodeRate = wrong })).Problems), StringComparison.Ordinal);
        Assert.Contains("`tune.code_rate` needs `tune.steps`", Assert.Single(Assert.Throws<RecipeException>(() => Resolve(Lrq with { TuneCodeRate = 0.1 })).Problems), StringComparison.Ordinal);
    }

    // A grid that the target cannot hold becomes a two-level one: what is then left to tune is tuned, and what is not is said.
    [Fact]
    public void LayersThatGetTwoLevelGridsByAMisfitStayAsTheyAre()
    {
        RecipeRequest misfit = Lrq with { Bits = 2, Granularity = Granularity.Group, GroupSize = 16, Target = Target.LlamaCpp, OnMisfit = MisfitRule.Nearest };
        Assert.Contains("`tune.steps` does not apply to two-level grids or grids of floats, on which all layers will lie", Assert.Single(Assert.Throws<RecipeException>(() => Resolve(misfit with { TuneSteps = 4 })).Problems), StringComparison.Ordinal);
        Assert.Null(Resolve(misfit with { Method = "flrq+", Target = Target.LlamaCpp }).Tuning);
        RecipeRequest some = misfit with { LayerRules = [LayerRule.Of("down=4:32:symmetric")], TuneSteps = 4 };
        ResolvedRecipe resolved = RecipeResolver.Resolve(BuiltInMethods.Catalog, some, CalibrationLoaderTests.Config() with { MaxPositions = 512 }, ModelLayout.OfBlock(Linears, CalibrationLoaderTests.Config().Layers), ScaleType.Float16);
        Assert.Equal(4, resolved.Recipe.Tuning!.Steps);
        Assert.Contains("`tune.steps` tunes the layers on uniform grids; q, on two-level grids or grids of floats, stay as the method makes them.", resolved.Notes);
        Assert.Null(Resolve(some with { Method = "flrq+", TuneSteps = null }).Tuning);
    }

    private static Recipe Resolve(RecipeRequest request) =>
        RecipeResolver.Resolve(BuiltInMethods.Catalog, request, CalibrationLoaderTests.Config() with { MaxPositions = 512 }, ModelLayout.OfBlock(Linears, CalibrationLoaderTests.Config().Layers), ScaleType.Float16).Recipe;
}

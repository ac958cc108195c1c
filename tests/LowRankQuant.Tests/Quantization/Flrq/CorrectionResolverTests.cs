using LowRankQuant.Models.Decoder;
using LowRankQuant.Numerics.Kernels;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Methods.Flrq;
using LowRankQuant.Quantization.Pipeline;

namespace LowRankQuant.Tests.Quantization.Flrq;

public sealed class CorrectionResolverTests
{
    private static readonly LinearShape[] Linears = [new("q", 128, 128), new("k", 64, 128), new("up", 384, 128), new("down", 128, 384)];

    private static readonly RecipeRequest Flrq = new()
    {
        Method = "flrq",
        Bits = 2,
        Granularity = Granularity.Group,
        GroupSize = 64,
        HasCalibration = true,
    };

    [Fact]
    public void FlrqIsThePapersRules()
    {
        CorrectionRecipe recipe = Resolve(Flrq).Correction!;
        Assert.Equal((RankRule.R1Flr, 0.2, 2, 2.5, 20), (recipe.RankRule, recipe.ExtraSize, recipe.PowerIterations, recipe.ScalePower, recipe.Epochs));
        Assert.Equal((true, 16, false, 0.0), (recipe.Clip, recipe.FactorBits, recipe.QuantizedInputs, recipe.Propagation));
        Assert.Equal(1, Resolve(Flrq with { Bits = 3 }).Correction!.Epochs);
    }

    [Fact]
    public void PlusSpendsABudget()
    {
        CorrectionRecipe recipe = Resolve(Flrq with { Method = "flrq+", Correction = new() { TargetBits = 2.6 } }).Correction!;
        Assert.Equal((2.6, BudgetWidths.Mixed, 8, 0.3), (recipe.TargetBits, recipe.Widths, recipe.FactorBits, recipe.Damping));
        Assert.True(recipe is { QuantizedInputs: true, Propagation: 0.7, Compensate: true, Epochs: 3 });
    }

    [Fact]
    public void OtherMethodsHaveNone() => Assert.Null(Resolve(Flrq with { Method = "rtn" }).Correction);

    [Fact]
    public void EverythingWrongIsSaidAtOnce()
    {
        RecipeException refused = Assert.Throws<RecipeException>(() => Resolve(Flrq with
        {
            Rank = 65,
            Iterations = 5,
            Correction = new() { ExtraSize = -1, TargetBits = 3, FactorBits = 4, Propagation = 0.5 },
        }));
        string all = string.Join('\n', refused.Problems);
        Assert.Contains("--rank 65: larger than k (64 x 128); ask for at most 64", all);
        Assert.Contains("--extra-size -1", all);
        Assert.Contains("--target-bits does not apply to method flrq", all);
        Assert.Contains("--factor-bits 4: must be 8 or 16", all);
        Assert.Contains("--iterations does not apply to method flrq", all);
        Assert.Contains("--propagation needs --quantized-inputs true", all);
    }

    [Fact]
    public void LrqOnTheResidualTakesLrqsOptions()
    {
        RecipeRequest request = Flrq with { Method = "flrq+", Iterations = 20, LearningRate = 1e-3, Correction = new() { Residual = ResidualRounding.Lrq, TrainBranch = true } };
        Recipe recipe = Resolve(request);
        Assert.Equal((20, 1e-3, 128, 256), (recipe.Iterations, recipe.LearningRate, recipe.Rank, recipe.Samples));
        Assert.True(recipe.Correction is { Residual: ResidualRounding.Lrq, TrainBranch: true });
        RecipeException refused = Assert.Throws<RecipeException>(() => Resolve(request with
        {
            Rank = 0,
            HeldOut = 0,
            Correction = request.Correction with { ResidualRank = 0, ChooseDamping = true },
        }));
        string all = string.Join('\n', refused.Problems);
        Assert.Contains("--residual-rank 0: must be at least 1", all);
        Assert.Contains("--train-branch true: --rank 0 leaves no branch to train", all);
        Assert.Contains("--damping auto needs held-out windows", all);
        Assert.Contains("--keep-best needs held-out windows", all);
        refused = Assert.Throws<RecipeException>(() => Resolve(Flrq with { Correction = new() { TrainBranch = true, ResidualRank = 4, ChooseDamping = true } }));
        all = string.Join('\n', refused.Problems);
        Assert.Contains("--train-branch needs --residual lrq", all);
        Assert.Contains("--residual-rank needs --residual lrq", all);
        Assert.Contains("--damping auto does not apply to method flrq", all);
    }

    [Fact]
    public void ABudgetThatCannotBeMetIsRefused()
    {
        RecipeException refused = Assert.Throws<RecipeException>(() => Resolve(Flrq with { Method = "flrq+", Correction = new() { TargetBits = 2.2 } }));
        Assert.Contains("--target-bits 2.2: codes of 2 bits with their scales take 2.2812 bits a weight already", string.Join('\n', refused.Problems));
    }

    [Fact]
    public void OptionsOfLowRankCorrectionAreForIt()
    {
        RecipeException refused = Assert.Throws<RecipeException>(() => Resolve(Flrq with { Method = "lrq", Correction = new() { ExtraSize = 0.1 } }));
        Assert.Contains("--extra-size does not apply to method lrq", string.Join('\n', refused.Problems));
    }

    private static Recipe Resolve(RecipeRequest request) => RecipeResolver.Resolve(request, new DecoderConfig
    {
        ModelType = "llama",
        HiddenSize = 128,
        IntermediateSize = 384,
        Layers = 2,
        Heads = 8,
        KeyValueHeads = 4,
        HeadSize = 16,
        VocabularySize = 2048,
        MaxPositions = 512,
        NormEpsilon = 1e-5f,
        Activation = Activation.Silu,
        Rope = new RopeConfig { Theta = 10000, RotatedSize = 16 },
        TiedEmbeddings = true,
    }, ModelLayout.OfBlock(Linears, 2), ScaleType.Float16).Recipe;
}

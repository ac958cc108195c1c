using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Methods;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;

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
        Recipe recipe = Resolve(Flrq);
        Assert.Equal(("r1-flr", "0.2", "2", "2.5", "20"), (recipe.Value("rank_rule"), recipe.Value("extra_size"), recipe.Value("power_iterations"), recipe.Value("scale_power"), recipe.Value("epochs")));
        Assert.Equal(("true", 16, "false", null), (recipe.Value("clip"), recipe.Method.FactorBits, recipe.Value("quantized_inputs"), recipe.Value("propagation")));
        Assert.Equal("1", Resolve(Flrq with { Bits = 3 }).Value("epochs"));
    }

    [Fact]
    public void PlusSpendsABudget()
    {
        Recipe recipe = Resolve(Flrq with { Method = "flrq+", Options = Asked.For(("target_bits", 2.6)) });
        Assert.Equal((new BitBudget(2.6, ChoosesGrids: true), "mixed", 8, "0.3"), (recipe.Method.Budget!.Value, recipe.Value("widths"), recipe.Method.FactorBits, recipe.Value("damping")));
        Assert.Equal(("true", "0.7", "true", "3"), (recipe.Value("quantized_inputs"), recipe.Value("propagation"), recipe.Value("compensate"), recipe.Value("epochs")));
    }

    [Fact]
    public void OtherMethodsHaveNone() => Assert.False(Resolve(Flrq with { Method = "rtn" }).Method.MayHaveBranches);

    [Fact]
    public void EverythingWrongIsSaidAtOnce()
    {
        RecipeException refused = Assert.Throws<RecipeException>(() => Resolve(Flrq with
        {
            Options = Asked.For(("rank", 65), ("iterations", 5), ("extra_size", -1), ("target_bits", 3), ("factor_bits", 4), ("propagation", 0.5)),
        }));
        string all = string.Join('\n', refused.Problems);
        Assert.Contains("`rank` 65: larger than k (64 x 128); ask for at most 64", all);
        Assert.Contains("`extra_size` -1", all);
        Assert.Contains("`target_bits` does not apply to method flrq", all);
        Assert.Contains("`factor_bits` does not apply to method flrq; it is an option of flrq+.", all);
        Assert.Contains("`iterations` does not apply to method flrq", all);
        Assert.Contains("`propagation` needs `quantized_inputs` true", all);
    }

    [Fact]
    public void LrqOnTheResidualTakesLrqsOptions()
    {
        RecipeRequest request = Flrq with { Method = "flrq+", Options = Asked.For(("iterations", 20), ("learning_rate", 1e-3), ("residual", "lrq"), ("train_branch", true)) };
        Recipe recipe = Resolve(request);
        Assert.Equal((20, 1e-3, "128", 256), (recipe.Method.Training!.Iterations, recipe.Method.Training.LearningRate, recipe.Value("residual_rank"), recipe.Samples));
        Assert.Equal(("lrq", "true"), (recipe.Value("residual"), recipe.Value("train_branch")));
        Assert.Contains("`loss` fisher does not go with `residual` lrq", Assert.Single(Assert.Throws<RecipeException>(() => Resolve(
            request with { Options = Asked.For(("residual", "lrq"), ("loss", "fisher")) })).Problems), StringComparison.Ordinal);
        RecipeException refused = Assert.Throws<RecipeException>(() => Resolve(request with
        {
            HeldOut = 0,
            Options = Asked.For(("rank", 0), ("residual", "lrq"), ("train_branch", true), ("residual_rank", 0), ("damping", "auto")),
        }));
        string all = string.Join('\n', refused.Problems);
        Assert.Contains("`residual_rank` 0: must be at least 1", all);
        Assert.Contains("`train_branch` true: `rank` 0 leaves no branch to train", all);
        Assert.Contains("`damping` auto needs held-out windows", all);
        Assert.Contains("`keep_best` needs held-out windows", all);
        refused = Assert.Throws<RecipeException>(() => Resolve(Flrq with { Options = Asked.For(("train_branch", true), ("residual_rank", 4), ("damping", "auto")) }));
        all = string.Join('\n', refused.Problems);
        Assert.Contains("`train_branch` needs `residual` lrq", all);
        Assert.Contains("`residual_rank` needs `residual` lrq", all);
        Assert.Contains("`damping` does not apply to method flrq", all);
    }

    [Fact]
    public void ABudgetThatCannotBeMetIsRefused()
    {
        RecipeException refused = Assert.Throws<RecipeException>(() => Resolve(Flrq with { Method = "flrq+", Options = Asked.For(("target_bits", 2.2)) }));
        Assert.Contains("`target_bits` 2.2: codes of 2 bits with their scales take 2.2812 bits a weight already", string.Join('\n', refused.Problems));
    }

    [Fact]
    public void OptionsOfLowRankCorrectionAreForIt()
    {
        RecipeException refused = Assert.Throws<RecipeException>(() => Resolve(Flrq with { Method = "lrq", Options = Asked.For(("extra_size", 0.1)) }));
        Assert.Contains("`extra_size` does not apply to method lrq", string.Join('\n', refused.Problems));
    }

    private static Recipe Resolve(RecipeRequest request) => RecipeResolver.Resolve(BuiltInMethods.Catalog, request, new DecoderConfig
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

using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Files;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Tests.Quantization.Targets;

public sealed class TargetResolverTests
{
    private static readonly RecipeRequest Rounded = new() { Method = "rtn" };

    [Fact]
    public void ATwoLevelGridDecidesEverythingAboutTheGrid()
    {
        Recipe recipe = Resolve(Rounded with { Grid = "q3_k" }, 512).Recipe;
        Assert.Equal(TwoLevelGrid.Q3K, recipe.Grid);
        Assert.Equal((3, Granularity.Group, 16, true), (recipe.Bits, recipe.Granularity, recipe.GroupSize, recipe.Symmetric));
        Assert.Equal((ScaleType.Float16, GridStart.Search), (recipe.ScaleType, recipe.Method.Start));
        Assert.Equal((3, true), Both(Rounded with { Grid = "Q3_K", Bits = 3, GroupSize = 16, Symmetric = true }));

        static (int, bool) Both(RecipeRequest request)
        {
            Recipe same = Resolve(request, 512).Recipe;
            return (same.Bits, same.Symmetric);
        }
    }

    [Fact]
    public void WhatContradictsATwoLevelGridIsToldAtOnce()
    {
        IReadOnlyList<string> problems = Problems(
            Rounded with { Grid = "q4_k", Bits = 3, GroupSize = 64, Symmetric = true, ScaleType = ScaleType.BFloat16 }, 576);
        foreach (string option in new[] { "`bits` 3", "`group_size` 64", "`symmetric` true", "`scale_dtype`", "rows must be a multiple of 256" })
            Assert.Single(problems, problem => problem.Contains(option, StringComparison.Ordinal));
        Assert.Equal(5, problems.Count);
        Assert.Contains("`grid` q9_k: unknown", Assert.Single(Problems(Rounded with { Grid = "q9_k" }, 512)), StringComparison.Ordinal);
    }

    [Fact]
    public void MisfitsAreRefusedWithTheNearestGridAndItsCost()
    {
        string problem = Assert.Single(Problems(Rounded with { Grid = "q3_k", Target = Target.LlamaCpp }, 576));
        Assert.Contains("rows of 576 do not divide into Q3_K blocks of 256", problem, StringComparison.Ordinal);
        Assert.Contains("q_proj", problem, StringComparison.Ordinal);
        Assert.DoesNotContain("down_proj", problem, StringComparison.Ordinal);
        Assert.Contains("bits per weight)", problem, StringComparison.Ordinal);
        Assert.Contains("`on_misfit` nearest", problem, StringComparison.Ordinal);
    }

    [Fact]
    public void NearestGridsAreUsedWhereAskedForAndSaidAndSaved()
    {
        ResolvedRecipe resolved = Resolve(Rounded with { Grid = "q3_k", Target = Target.LlamaCpp, OnMisfit = MisfitRule.Nearest }, 576);
        Recipe recipe = resolved.Recipe;
        Assert.Equal(TwoLevelGrid.Q3K, recipe.Scheme.For("mlp.down_proj").Grid);
        UniformGrid other = Assert.IsType<UniformGrid>(recipe.Scheme.For("self_attn.q_proj").Grid);
        // Q4_0's blocks hold 4 bits, so they are not left with 3.
        Assert.Equal(new UniformGrid(4, true, Granularity.Group, 32), other);
        Assert.Contains(resolved.Notes, note => note.Contains($"{other}", StringComparison.Ordinal) && note.Contains("`on_misfit` nearest", StringComparison.Ordinal));
        // What is saved asks for the same again.
        RecipeRequest saved = RecipeReader.Read(RecipeFile.Text(recipe), "recipe.json", BuiltInMethods.Catalog).Request;
        Recipe read = Resolve(saved, 576).Recipe;
        Assert.Equal(recipe.Scheme.ToString(), read.Scheme.ToString());
        Assert.Equal(new TargetRecipe(Target.LlamaCpp, MisfitRule.Nearest, 1), read.Target);
        Assert.Equal(RecipeFile.Text(recipe), RecipeFile.Text(read));
    }

    [Fact]
    public void ScalesAreRoundedForTheTarget()
    {
        Recipe recipe = Resolve(Rounded with { Bits = 4, GroupSize = 64, Target = Target.LlamaCpp }, 576, ScaleType.BFloat16).Recipe;
        Assert.Equal((ScaleType.Float16, 7), (recipe.ScaleType, recipe.ScaleDigits));
        Assert.Equal(7, recipe.Scheme.For("mlp.up_proj").ScaleDigits);
        Assert.Equal(ScaleType.BFloat16, Resolve(Rounded with { Bits = 4, Target = Target.CompressedTensors }, 576, ScaleType.BFloat16).Recipe.ScaleType);
        Assert.Contains("`scale_dtype` bf16: gptq stores scales as fp16", Assert.Single(Problems(Rounded with { Target = Target.Gptq, ScaleType = ScaleType.BFloat16 }, 512)), StringComparison.Ordinal);
    }

    [Fact]
    public void VllmTiesFusedLayersAndChecksShards()
    {
        // 576 inputs fit the fast kernel nowhere, so q, k, v and gate, up change together; down has 1536.
        ResolvedRecipe resolved = Resolve(Rounded with { Bits = 4, Target = Target.Vllm, OnMisfit = MisfitRule.Nearest }, 576);
        Scheme scheme = resolved.Recipe.Scheme;
        Assert.Equal(scheme.For("self_attn.q_proj").Grid, scheme.For("self_attn.v_proj").Grid);
        Assert.Equal(scheme.For("mlp.gate_proj").Grid, scheme.For("mlp.up_proj").Grid);
        Assert.Equal(new UniformGrid(4, false, Granularity.Channel), scheme.For("mlp.down_proj").Grid);
        IReadOnlyList<string> problems = Problems(Rounded with { Bits = 4, Target = Target.Vllm, TensorParallel = 7 }, 512);
        Assert.Contains(problems, problem => problem.Contains("do not divide into 7 shards", StringComparison.Ordinal) && problem.Contains("no grid fits", StringComparison.Ordinal));
        Assert.Equal(2, Resolve(Rounded with { Bits = 4, Target = Target.Vllm, TensorParallel = 2 }, 512).Recipe.Target!.TensorParallel);
        Assert.Single(Problems(Rounded with { Bits = 4, GroupSize = 128, Target = Target.Vllm, TensorParallel = 8 }, 512),
            problem => problem.Contains("down_proj", StringComparison.Ordinal) && problem.Contains("in each of 8 shards", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("self_attn.k_proj", "self_attn.q_proj, self_attn.k_proj, self_attn.v_proj")]
    [InlineData("mlp.experts.3.up_proj", "mlp.experts.3.gate_proj, mlp.experts.3.up_proj")]
    [InlineData("model.layers.0.feed_forward.gate_proj", "model.layers.0.feed_forward.gate_proj, model.layers.0.feed_forward.up_proj")]
    [InlineData("q_proj", "q_proj, k_proj, v_proj")]
    [InlineData("self_attn.kv_a_proj_with_mqa", "self_attn.q_a_proj, self_attn.kv_a_proj_with_mqa")]
    [InlineData("linear_attn.in_proj_z", "linear_attn.in_proj_qkv, linear_attn.in_proj_z")]
    [InlineData("linear_attn.in_proj_a", "linear_attn.in_proj_b, linear_attn.in_proj_a")]
    [InlineData("feed_forward.w3", "feed_forward.w1, feed_forward.w3")]
    [InlineData("linear_attn.in_proj_qkvz", null)]
    [InlineData("mamba.in_proj", null)]
    [InlineData("self_attn.q_b_proj", null)]
    [InlineData("mlp.down_proj", null)]
    [InlineData("self_attn.o_proj", null)]
    public void VllmFusesWhatStandsInOneModule(string linear, string? expected) =>
        Assert.Equal(expected, LowRankQuant.Formats.Engines.EngineTable.VllmFusedWith(linear) is { } set ? string.Join(", ", set) : null);

    [Theory]
    [InlineData("mamba.in_proj", true)]
    [InlineData("conv.in_proj", true)]
    [InlineData("linear_attn.in_proj_qkvz", true)]
    [InlineData("linear_attn.in_proj_z", true)]
    [InlineData("feed_forward.w3", true)]
    [InlineData("mamba.out_proj", false)]
    [InlineData("feed_forward.w2", false)]
    [InlineData("self_attn.kv_a_proj_with_mqa", false)]
    public void ShardsOfVllmHavePartsOfOutputsOrOfInputs(string linear, bool outputs) => Assert.Equal(outputs, LowRankQuant.Formats.Engines.EngineTable.VllmCutsOutputs(linear));

    [Fact]
    public void OptionsOfTargetsNeedOne()
    {
        IReadOnlyList<string> problems = Problems(Rounded with { OnMisfit = MisfitRule.Nearest, TensorParallel = 2 }, 512);
        Assert.Single(problems, problem => problem.StartsWith("`on_misfit` needs `target`", StringComparison.Ordinal));
        Assert.Single(problems, problem => problem.StartsWith("`tensor_parallel` needs `target` vllm", StringComparison.Ordinal));
        Assert.Contains("only vllm cuts matrices", Assert.Single(Problems(Rounded with { Target = Target.Awq, TensorParallel = 2 }, 512)), StringComparison.Ordinal);
        var mixed = new RecipeRequest { Method = "flrq+", HasCalibration = true, Target = Target.LlamaCpp, GroupSize = 64, Options = Asked.For(("target_bits", 3)) };
        Assert.Contains(Problems(mixed, 512), problem => problem.Contains("`widths` fixed", StringComparison.Ordinal));
    }

    private static IReadOnlyList<string> Problems(RecipeRequest request, int hidden) =>
        Assert.Throws<RecipeException>(() => Resolve(request, hidden)).Problems;

    private static ResolvedRecipe Resolve(RecipeRequest request, int hidden, ScaleType native = ScaleType.Float16)
    {
        DecoderConfig model = RecipeResolverTests.Model() with { HiddenSize = hidden };
        int keys = hidden / 2;
        LinearShape[] linears =
        [
            new("self_attn.q_proj", hidden, hidden), new("self_attn.k_proj", keys, hidden), new("self_attn.v_proj", keys, hidden),
            new("self_attn.o_proj", hidden, hidden), new("mlp.gate_proj", 1536, hidden), new("mlp.up_proj", 1536, hidden), new("mlp.down_proj", hidden, 1536),
        ];
        return RecipeResolver.Resolve(BuiltInMethods.Catalog, request, model, ModelLayout.OfBlock(linears, model.Layers), native);
    }
}

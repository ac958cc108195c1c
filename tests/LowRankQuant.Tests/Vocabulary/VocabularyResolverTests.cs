using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families.Catalog;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization;
using LowRankQuant.Quantization.Options;
using LowRankQuant.Quantization.Recipes;
using LowRankQuant.Quantization.Recipes.Resolving;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Tests.Vocabulary;

/// <summary>What <c>--embedding</c> and <c>--head</c> become, and what is wrong about them, all before any work.</summary>
public sealed class VocabularyResolverTests
{
    private static readonly RecipeRequest Rounded = new() { Method = "rtn", Bits = 4, GroupSize = 32 };

    [Fact]
    public void TheyAreOffUnlessAskedFor()
    {
        Assert.Null(Resolve(Rounded).Recipe.Vocabulary);
        Assert.Null(Resolve(Rounded with { Embedding = "off", Head = "OFF" }).Recipe.Vocabulary);
    }

    [Fact]
    public void GridsAreOfTheRunsKind()
    {
        VocabularyRecipe recipe = Resolve(Rounded with { Symmetric = true, Embedding = "8", Head = "4" }).Recipe.Vocabulary!;
        Assert.False(recipe.Tied);
        Assert.Equal(new UniformGrid(8, true, Granularity.Group, 32), recipe.Embedding!.ToGrid());
        Assert.Equal(new UniformGrid(4, true, Granularity.Group, 32), recipe.Head!.ToGrid());
        Assert.Equal([VocabularyPart.Embedding, VocabularyPart.Head], recipe.Parts);
        Assert.Equal([VocabularyPart.Head], Resolve(Rounded with { Head = "4" }).Recipe.Vocabulary!.Parts);
        // A scale for a whole matrix is nothing for a vocabulary.
        RecipeRequest whole = new() { Method = "rtn", Bits = 4, Granularity = Granularity.Tensor, Head = "4" };
        Assert.Equal(new UniformGrid(4, false, Granularity.Channel), Resolve(whole).Recipe.Vocabulary!.Head!.ToGrid());
    }

    [Fact]
    public void GroupsThatDoNotDivideTheWidthAreWholeRowsWithANote()
    {
        VocabularyShape odd = Shape(tied: false) with { Width = 80 };
        ResolvedRecipe resolved = Resolve(Rounded with { Embedding = "8" }, odd);
        Assert.Equal(new UniformGrid(8, false, Granularity.Channel), resolved.Recipe.Vocabulary!.Embedding!.ToGrid());
        Assert.Contains("`embedding` 8: groups of 32 do not divide rows of 80; a whole row shares a scale.", resolved.Notes);
    }

    [Theory]
    [InlineData("4", "Q4_K")]
    [InlineData("8", "w8 symmetric g32")]
    public void RunsOnTwoLevelGridsTakeTheBlocksOfLlamaCpp(string bits, string grid) =>
        Assert.Equal(grid, Resolve(new RecipeRequest { Method = "rtn", Grid = "q3_k", Embedding = bits }).Recipe.Vocabulary!.Embedding!.ToGrid() is TwoLevelGrid native ? native.Name
            : Resolve(new RecipeRequest { Method = "rtn", Grid = "q3_k", Embedding = bits }).Recipe.Vocabulary!.Embedding!.ToGrid().ToString());

    [Theory]
    [InlineData("8", null)]
    [InlineData(null, "8")]
    [InlineData("8", "8")]
    public void OfATiedModelTheOneMatrixIsQuantizedOnce(string? embedding, string? head)
    {
        ResolvedRecipe resolved = Resolve(Rounded with { Embedding = embedding, Head = head }, Shape(tied: true));
        VocabularyRecipe recipe = resolved.Recipe.Vocabulary!;
        Assert.True(recipe.Tied);
        Assert.Equal(recipe.Embedding, recipe.Head);
        Assert.Equal([VocabularyPart.Embedding], recipe.Parts);
        Assert.True(recipe.IsHead(VocabularyPart.Embedding));
        Assert.Contains(resolved.Notes, note => note.Contains("one matrix, 'model.embed_tokens'", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData("8", "4")]
    [InlineData("off", "8")]
    [InlineData("4", "off")]
    public void OptionsThatContradictEachOtherOnATiedModelAreAnErrorThatNamesBoth(string embedding, string head)
    {
        string problem = Assert.Single(Problems(Rounded with { Embedding = embedding, Head = head }, Shape(tied: true)));
        Assert.StartsWith($"`embedding` {embedding} and `head` {head} contradict each other", problem, StringComparison.Ordinal);
        Assert.Empty(Problems(Rounded with { Embedding = embedding, Head = head }, Shape(tied: false)));
    }

    [Fact]
    public void OtherWidthsAreErrorsAllAtOnce() =>
        Assert.Equal(
            ["`embedding` 16: must be 8, 4 (bits per weight) or off.", "`head` 3: must be 8, 4 (bits per weight) or off."],
            Problems(Rounded with { Embedding = "16", Head = "3" }));

    [Fact]
    public void AModelThatNoFamilyKnowsHasNeither() =>
        Assert.StartsWith("`head`: no family knows the model", Assert.Single(Problems(Rounded with { Head = "8" }, null)), StringComparison.Ordinal);

    [Theory]
    [InlineData("8", null, true, "GPTQ has no place for a quantized embedding, AWQ for none at all, and vLLM does not run one that is the head too: exports there are refused.")]
    [InlineData("8", "4", false, "hold the quantized embedding and head; GPTQ has no place for a quantized embedding, AWQ for none at all: exports")]
    [InlineData(null, "8", false, "GPTQ has no place for a head on another grid than the linears, AWQ for none at all: exports")]
    [InlineData(null, "4", false, "hold the quantized head; AWQ has no place for it: exports")]
    public void WithoutATargetItIsSaidWhatWillBeRefused(string? embedding, string? head, bool tied, string note)
    {
        RecipeRequest request = Rounded with { Embedding = embedding, Head = head };
        Assert.Contains(Resolve(request, Shape(tied)).Notes, said => said.Contains(note, StringComparison.Ordinal));
        Assert.DoesNotContain(Resolve(request with { Target = Target.CompressedTensors }, Shape(tied)).Notes, said => said.Contains("exports", StringComparison.Ordinal));
    }

    [Theory]
    [InlineData(Target.Gptq, "4", null, false, "its loaders look the embedding up as floats")]
    [InlineData(Target.Gptq, null, "8", false, "one grid for all linears")]
    [InlineData(Target.Gptq, null, "4", true, "and here it is the head too")]
    [InlineData(Target.Awq, null, "4", false, "keep embedding and head as floats")]
    [InlineData(Target.Awq, "4", null, false, "keep embedding and head as floats")]
    [InlineData(Target.Vllm, "4", null, true, "do not share a quantized embedding")]
    public void ATargetThatHasNoPlaceForThemRefusesAtOnce(Target target, string? embedding, string? head, bool tied, string why)
    {
        RecipeRequest request = Rounded with { Symmetric = true, Target = target, Embedding = embedding, Head = head };
        string problem = Assert.Single(Problems(request, Shape(tied)));
        Assert.Contains($"{TargetNames.Of(target)} cannot hold it", problem, StringComparison.Ordinal);
        Assert.Contains(why, problem, StringComparison.Ordinal);
    }

    [Fact]
    public void ATargetDecidesAsForLinears()
    {
        RecipeRequest gptq = Rounded with { Symmetric = true, Target = Target.Gptq, Head = "4" };
        Assert.Equal(new UniformGrid(4, true, Granularity.Group, 32), Resolve(gptq).Recipe.Vocabulary!.Head!.ToGrid());
        // llama.cpp has no block for 8 bits with zero points.
        RecipeRequest blocks = Rounded with { Target = Target.LlamaCpp, Embedding = "8" };
        Assert.Contains("give `on_misfit` nearest to use it there", Assert.Single(Problems(blocks)), StringComparison.Ordinal);
        ResolvedRecipe nearest = Resolve(blocks with { OnMisfit = MisfitRule.Nearest });
        Assert.Equal(new UniformGrid(8, true, Granularity.Group, 32), nearest.Recipe.Vocabulary!.Embedding!.ToGrid());
        Assert.Contains(nearest.Notes, note => note.Contains("`embedding` 8: `target` llama.cpp cannot hold", StringComparison.Ordinal));
        // MLX multiplies scales by zero points, so scales have room for no more than 3 digits beside 8.
        Assert.Equal(3, Resolve(Rounded with { Target = Target.Mlx, Head = "8" }).Recipe.Vocabulary!.Head!.ScaleDigits);
    }

    private static VocabularyShape Shape(bool tied) => new("model.embed_tokens", "lm_head", 2048, 256, tied);

    private static ResolvedRecipe Resolve(RecipeRequest request, VocabularyShape? shape = null) => Examine(request, shape ?? Shape(tied: false)) is { Problems.Count: 0 } sound
        ? sound
        : throw new RecipeException(Examine(request, shape ?? Shape(tied: false)).Problems);

    private static IReadOnlyList<string> Problems(RecipeRequest request) => Problems(request, Shape(tied: false));

    private static IReadOnlyList<string> Problems(RecipeRequest request, VocabularyShape? shape) => Examine(request, shape).Problems;

    private static ResolvedRecipe Examine(RecipeRequest request, VocabularyShape? shape)
    {
        DecoderConfig config = ModelFamilies.Read(
            System.Text.Json.Nodes.JsonNode.Parse(File.ReadAllText(Path.Combine(TestData.Demo, "config.json")))!.AsObject(), "config.json").Config;
        LinearShape[] linears = [new("self_attn.q_proj", 256, 256), new("mlp.down_proj", 256, 768)];
        ModelLayout layout = ModelLayout.OfBlock(linears, config.Layers, shape);
        return RecipeResolver.Examine(BuiltInMethods.Catalog, request, config, layout, ScaleType.Float16, []);
    }
}

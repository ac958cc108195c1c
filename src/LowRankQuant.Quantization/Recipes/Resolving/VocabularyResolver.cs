using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Numerics.Quantized;
using LowRankQuant.Quantization.Grids;
using LowRankQuant.Quantization.Targets;

namespace LowRankQuant.Quantization.Recipes.Resolving;

/// <summary>
/// The part of <see cref="RecipeResolver"/> that is about <c>embedding</c> and <c>head</c>: 8 or 4 bits on grids of the run's kind, or off.
/// <code>
/// run on a uniform grid          its symmetry; its groups where they divide the width, else whole rows
/// run on a two-level grid        4 bits: Q4_K where rows are multiples of 256, else symmetric groups of 32; 8 bits: symmetric groups of 32
/// budget over llama.cpp's blocks the same
/// run with float minima          symmetric groups of its size where they divide the width, else whole rows: every container that holds the run holds these
/// </code>
/// </summary>
/// <param name="request">What was asked for.</param>
/// <param name="shape">Embedding and head of the model; null where nobody knows them.</param>
/// <param name="problems">Receives what cannot be run.</param>
/// <param name="notes">Receives what was decided.</param>
internal sealed class VocabularyResolver(RecipeRequest request, VocabularyShape? shape, List<string> problems, List<string> notes)
{
    private const string EmbeddingOption = "`embedding`", HeadOption = "`head`", Off = "off";
    private const int SmallestBlock = 32;

    /// <summary>Grids of embedding and head; null where both stay floats.</summary>
    /// <param name="usual">The grid of the run.</param>
    /// <param name="blocks">Whether a budget chooses among llama.cpp's blocks.</param>
    /// <param name="scaleType">Stored type of scales.</param>
    public VocabularyRecipe? Resolve(WeightGrid usual, bool blocks, ScaleType scaleType)
    {
        int before = problems.Count;
        int embedding = Bits(EmbeddingOption, request.Embedding), head = Bits(HeadOption, request.Head);
        if (problems.Count > before || (embedding == 0 && head == 0)) return null;
        string given = embedding == 0 ? HeadOption : EmbeddingOption;
        if (shape is null)
        {
            problems.Add($"{given}: no family knows the model, so which tensor is {(embedding == 0 ? "its output head" : "its embedding")} is not known; leave it out.");
            return null;
        }
        if (shape.Tied)
        {
            if (request.Embedding is not null && request.Head is not null && embedding != head)
            {
                problems.Add($"{EmbeddingOption} {request.Embedding} and {HeadOption} {request.Head} contradict each other: embedding and output head of the model are one matrix; give one of them, or both alike.");
                return null;
            }
            embedding = head = Math.Max(embedding, head);
            notes.Add($"Embedding and output head are one matrix, '{shape.Embedding}': it is quantized and stored once, and {given} is for both.");
        }
        LayerGrid? of = shape.Tied || embedding > 0 ? Fit(VocabularyPart.Embedding, embedding, usual, blocks, scaleType) : null;
        LayerGrid? behind = shape.Tied ? of : head > 0 ? Fit(VocabularyPart.Head, head, usual, blocks, scaleType) : null;
        if (problems.Count > before) return null;
        if (request.Target is null) notes.Add(Containers(of is not null, behind, usual));
        return new VocabularyRecipe(of, behind, shape.Tied);
    }

    // Without a target nothing is refused; what an export will refuse is said before the work.
    private string Containers(bool embedding, LayerGrid? head, WeightGrid usual)
    {
        string gptq = embedding ? "a quantized embedding" : head!.ToGrid() == usual ? "" : "a head on another grid than the linears";
        string vllm = embedding && shape!.Tied ? ", and vLLM does not run one that is the head too" : "";
        string lost = gptq.Length == 0 ? "AWQ has no place for it" : $"GPTQ has no place for {gptq}, AWQ for none at all{vllm}";
        return $"compressed-tensors, MLX and GGUF hold the quantized {(embedding && head is not null && !shape!.Tied ? "embedding and head" : embedding ? "embedding" : "head")}; {lost}: exports there are refused. `target` NAME says now what fits.";
    }

    private int Bits(string option, string? text)
    {
        switch (text?.ToLowerInvariant())
        {
            case null or Off:
                return 0;
            case "8":
                return 8;
            case "4":
                return 4;
            default:
                problems.Add($"{option} {text}: must be 8, 4 (bits per weight) or {Off}.");
                return 0;
        }
    }

    private LayerGrid? Fit(VocabularyPart part, int bits, WeightGrid usual, bool blocks, ScaleType scaleType)
    {
        string module = VocabularyRecipe.ModuleOf(shape!, part), option = OptionOf(part);
        WeightGrid grid = blocks || usual is TwoLevelGrid ? Block(bits) : OfRun(option, bits, usual switch
        {
            UniformGrid uniform => uniform,
            AffineGrid affine => new UniformGrid(bits, true, Granularity.Group, affine.GroupSize),
            _ => new UniformGrid(bits, true, Granularity.Channel),
        });
        if (request.Target is not { } target) return LayerGrid.Of(grid, null);
        string name = TargetNames.Of(target);
        if (Refusal(target, part, grid, usual) is { } reason)
        {
            problems.Add($"{option} {bits}: {name} cannot hold it: {reason}.");
            return null;
        }
        TargetFit fit = TargetFit.Of(target, module, shape!.Rows, shape.Width, grid, scaleType);
        if (fit.Misfit is null)
        {
            if (fit.Note is { } note) notes.Add($"`target` {name}, {module}: {note}.");
            return LayerGrid.Of(grid, fit.ScaleDigits);
        }
        string what = $"{option} {bits}: `target` {name} cannot hold {grid} in {module}: {fit.Misfit}; {fit.Remedy}";
        if (fit.Nearest is null) problems.Add($"{what}; leave it out.");
        else if (request.OnMisfit == MisfitRule.Nearest)
        {
            notes.Add($"{what}, and that is what it gets (`on_misfit` nearest).");
            return LayerGrid.Of(fit.Nearest, fit.ScaleDigits);
        }
        else problems.Add($"{what}; give `on_misfit` nearest to use it there, or leave it out.");
        return null;
    }

    private string OptionOf(VocabularyPart part) => part == VocabularyPart.Head || request.Embedding is null ? HeadOption : EmbeddingOption;

    // What a container has no place for at all, whatever the grid.
    private string? Refusal(Target target, VocabularyPart part, WeightGrid grid, WeightGrid usual) => (target, part) switch
    {
        (Target.Gptq, VocabularyPart.Embedding) => $"its loaders look the embedding up as floats{Shared}; leave it out",
        (Target.Gptq, _) when grid != usual => $"its configuration has one grid for all linears, the head included, and that is {usual}; give {HeadOption} {usual.Bits} if that is a width it has, or leave it out",
        (Target.Awq, _) => $"its loaders keep embedding and head as floats{Shared}; leave it out",
        (Target.Vllm, _) when shape!.Tied => "its models do not share a quantized embedding with the head; leave it out, or take `target` compressed-tensors",
        _ => null,
    };

    private string Shared => shape!.Tied ? ", and here it is the head too" : "";

    private WeightGrid Block(int bits) => bits == 4 && TwoLevelGrid.Find("Q4_K") is { } native && native.Divides(shape!.Width)
        ? native
        : Divided(new UniformGrid(bits, true, Granularity.Group, SmallestBlock));

    private UniformGrid OfRun(string option, int bits, UniformGrid usual)
    {
        UniformGrid grid = usual.Granularity == Granularity.Tensor ? new UniformGrid(bits, usual.Symmetric, Granularity.Channel) : usual with { Bits = bits };
        UniformGrid fitting = Divided(grid);
        if (fitting != grid) notes.Add($"{option} {bits}: groups of {grid.GroupSize} do not divide rows of {shape!.Width}; a whole row shares a scale.");
        return fitting;
    }

    private UniformGrid Divided(UniformGrid grid) => grid.Divides(shape!.Width) ? grid : new UniformGrid(grid.Bits, grid.Symmetric, Granularity.Channel);
}

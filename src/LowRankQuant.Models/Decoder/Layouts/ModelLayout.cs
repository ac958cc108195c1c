namespace LowRankQuant.Models.Decoder.Layouts;

/// <summary>A linear of a block.</summary>
/// <param name="Name">Name within the block, such as <c>self_attn.q_proj</c>.</param>
/// <param name="OutFeatures">Rows of the weight.</param>
/// <param name="InFeatures">Columns of the weight.</param>
public readonly record struct LinearShape(string Name, int OutFeatures, int InFeatures)
{
    /// <summary>Whether it belongs to an expert, one of several that tokens are sent to.</summary>
    public bool IsExpert { get; init; }

    /// <summary>Whether its family leaves it in its own type where nobody asks for it by name: routers and other small gates.</summary>
    public bool KeptByDefault { get; init; }

    /// <summary>OutFeatures times InFeatures.</summary>
    public long Weights => (long)OutFeatures * InFeatures;
}

/// <summary>A tensor of a model.</summary>
/// <param name="Name">Its name, that of the family's checkpoints where it is stored by itself.</param>
/// <param name="Shape">Its shape.</param>
/// <param name="View">How it lies in a stored tensor of another name; null where it is stored as it is.</param>
public sealed record TensorSpec(string Name, IReadOnlyList<int> Shape, StoredView? View);

/// <summary>Biases that are there or not by a key of the configuration.</summary>
/// <param name="Key">The key; null where the family alone decides.</param>
/// <param name="IsOn">Whether they are there.</param>
public readonly record struct BiasRule(string? Key, bool IsOn)
{
    /// <summary>Always there.</summary>
    public static BiasRule Always => new(null, true);

    /// <summary>Never there.</summary>
    public static BiasRule Never => default;
}

/// <summary>Embedding and output head of a model.</summary>
/// <param name="Embedding">Module path of the embedding, such as <c>model.embed_tokens</c>; of a tied model that of the one matrix.</param>
/// <param name="Head">Module path of the head.</param>
/// <param name="Rows">Tokens of the vocabulary.</param>
/// <param name="Width">Columns of both matrices.</param>
/// <param name="Tied">Whether both are one matrix.</param>
public sealed record VocabularyShape(string Embedding, string Head, int Rows, int Width, bool Tied);

/// <summary>
/// All tensors of a model and the linears of its blocks: what its family makes of a configuration, without any file; and which of the linears are quantized, as the family has it or
/// as somebody chose.
/// </summary>
public sealed class ModelLayout
{
    private readonly Dictionary<string, TensorSpec> _byName;

    internal ModelLayout(
        IReadOnlyList<TensorSpec> tensors, IReadOnlyList<string> blocks, IReadOnlyList<IReadOnlyList<LinearShape>> linears,
        IReadOnlyDictionary<string, IReadOnlyList<string>> biases, LinearSelection? selection = null)
    {
        Tensors = tensors;
        Blocks = blocks;
        AllLinears = linears;
        Biases = biases;
        Linears = [.. linears.Select((block, i) => Choose(block, blocks[i], kept: false))];
        Kept = [.. linears.Select((block, i) => Choose(block, blocks[i], kept: true))];
        _byName = tensors.ToDictionary(tensor => tensor.Name, StringComparer.Ordinal);
        LinearWeights = Linears.Sum(block => block.Sum(linear => (long)linear.OutFeatures * linear.InFeatures));

        IReadOnlyList<LinearShape> Choose(IReadOnlyList<LinearShape> block, string name, bool kept)
        {
            LinearShape[] chosen = [.. block.Where(linear => LinearSelection.IsKept(selection, name, linear) == kept)];
            return chosen.Length == block.Count ? block : chosen;
        }
    }

    /// <summary>A layout of blocks that are alike, by their linears alone.</summary>
    /// <param name="linears">The linears of a block.</param>
    /// <param name="layers">Blocks.</param>
    /// <param name="vocabulary">Embedding and output head; null for unknown ones.</param>
    public static ModelLayout OfBlock(IReadOnlyList<LinearShape> linears, int layers, VocabularyShape? vocabulary = null) => new(
        [], [.. Enumerable.Range(0, layers).Select(block => block.ToString(System.Globalization.CultureInfo.InvariantCulture))], [.. Enumerable.Repeat(linears, layers)],
        new Dictionary<string, IReadOnlyList<string>>())
    {
        Vocabulary = vocabulary,
    };

    /// <summary>Every tensor but embedding and output head, in model order.</summary>
    public IReadOnlyList<TensorSpec> Tensors { get; }

    /// <summary>Names of the blocks.</summary>
    public IReadOnlyList<string> Blocks { get; }

    /// <summary>The linears of every block that are quantized, in slot order.</summary>
    public IReadOnlyList<IReadOnlyList<LinearShape>> Linears { get; }

    /// <summary>The linears of every block that stay in their own type, in slot order.</summary>
    public IReadOnlyList<IReadOnlyList<LinearShape>> Kept { get; }

    /// <summary>The linears of every block, in slot order, whatever becomes of them.</summary>
    public IReadOnlyList<IReadOnlyList<LinearShape>> AllLinears { get; }

    /// <summary>Weights of all linears that are quantized.</summary>
    public long LinearWeights { get; }

    /// <summary>Embedding and output head; null where nobody knows them, as of a model that no family knows.</summary>
    public VocabularyShape? Vocabulary { get; init; }

    /// <summary>Most experts that a token is sent to in a block; 0 without experts.</summary>
    public int ExpertsPerToken { get; init; }

    /// <summary>What a token leaves on a tape in every block; empty where linears are all that is known.</summary>
    public IReadOnlyList<TapeNumbers> OnTape { get; init; } = [];

    /// <summary>Linears that would have a bias if a key of the configuration were true, by that key.</summary>
    internal IReadOnlyDictionary<string, IReadOnlyList<string>> Biases { get; }

    /// <summary>Every name of a linear within a block with every shape that it has.</summary>
    public IReadOnlyList<LinearShape> Kinds => [.. Linears.SelectMany(block => block).Distinct()];

    /// <summary>The linears of the block that has the most weights.</summary>
    public IReadOnlyList<LinearShape> LargestBlock => Linears.MaxBy(block => block.Sum(linear => (long)linear.OutFeatures * linear.InFeatures)) ?? [];

    /// <summary>The same model with other linears quantized.</summary>
    /// <param name="selection">Which; null for those of the family.</param>
    public ModelLayout Select(LinearSelection? selection) =>
        new(Tensors, Blocks, AllLinears, Biases, selection) { Vocabulary = Vocabulary, ExpertsPerToken = ExpertsPerToken, OnTape = OnTape };

    /// <summary>The tensor of a name; null for none.</summary>
    public TensorSpec? Find(string name) => _byName.GetValueOrDefault(name);

    /// <summary>Module paths of all linears that are quantized with their shapes, in model order.</summary>
    public IEnumerable<LinearShape> Modules => Paths(Linears);

    /// <summary>Module paths of the linears that stay in their own type, in model order.</summary>
    public IEnumerable<LinearShape> KeptModules => Paths(Kept);

    private IEnumerable<LinearShape> Paths(IReadOnlyList<IReadOnlyList<LinearShape>> linears) =>
        Blocks.SelectMany((block, i) => linears[i].Select(linear => linear with { Name = $"{block}.{linear.Name}" }));
}

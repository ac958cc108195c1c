using LowRankQuant.Formats;
using LowRankQuant.Models.Checkpoints;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Folds;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Decoder.Linears;
using LowRankQuant.Models.Decoder.Positions;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics;
using LowRankQuant.Numerics.Cpu;

namespace LowRankQuant.Models;

/// <summary>A checkpoint together with what runs it. Nothing is loaded until asked for, and every part is loaded by itself.</summary>
public sealed class CausalModel : IDisposable
{
    private readonly LoadedTensors _tensors;
    private readonly Dictionary<RopeConfig, RopeTables> _tables = new(ReferenceEqualityComparer.Instance);
    private ModelLayout? _layout;

    /// <summary>Opens a model on a device.</summary>
    /// <param name="checkpoint">The checkpoint; owned from now on.</param>
    /// <param name="device">Where tensors go.</param>
    public CausalModel(ICheckpoint checkpoint, Device device)
    {
        Checkpoint = checkpoint;
        Device = device;
        _tensors = new LoadedTensors(checkpoint, device, Tables);
    }

    /// <summary>Where the tensors come from.</summary>
    public ICheckpoint Checkpoint { get; }

    /// <summary>Where tensors go.</summary>
    public Device Device { get; }

    /// <summary>
    /// Which weights the blocks that are loaded from now on leave in the checkpoint's files, to make floats of them only while they compute with them. Changes no result: more
    /// is read, and less is in memory.
    /// </summary>
    public WeightPaging Paging
    {
        get => _tensors.Paging;
        set => _tensors.Paging = value;
    }

    /// <summary>Whether blocks that are loaded from now on quantize activations, keys and values where the checkpoint asks for it; else these quantizers are left out.</summary>
    public bool RunsQuantizers { get; set; }

    /// <summary>
    /// Whether linears of blocks that are loaded from now on keep their codes, where input and weight are both rounded to integers, and multiply these
    /// (<see cref="LinearSlot.MultipliesCodes"/>); else rounded floats are multiplied. Needs <see cref="RunsQuantizers"/>. <see cref="Products"/> tells what came of it.
    /// </summary>
    public bool MultipliesCodes
    {
        get => _tensors.KeepsCodes is not null;
        set => _tensors.KeepsCodes = value && Checkpoint.Quantizers is { HasInputs: true } quantizers ? name => RunsQuantizers && quantizers.HasCodes(Layout, name) : null;
    }

    /// <summary>By what products the linears of the blocks loaded so far are computed.</summary>
    public LinearProducts Products { get; } = new();

    /// <summary>What the family makes of the configuration.</summary>
    public Architecture Architecture => Checkpoint.Architecture;

    /// <summary>All tensors of the model, and which of its linears are quantized.</summary>
    public ModelLayout Layout => _layout ?? Checkpoint.Layout;

    /// <summary>
    /// Which linears of blocks that are loaded from now on are quantized, and which stay in their own type; null for those of the family. Changes nothing of what is computed.
    /// </summary>
    public LinearSelection? Selection
    {
        get => _tensors.Selection;
        set
        {
            if (ReferenceEquals(_tensors.Selection, value)) return;
            _tensors.Selection = value;
            _layout = value is null ? null : Checkpoint.Layout.Select(value);
        }
    }

    /// <summary>Sizes and choices.</summary>
    public DecoderConfig Config => Checkpoint.Config;

    /// <summary>Name of the embedding tensor.</summary>
    public string EmbeddingName => Architecture.EmbeddingName;

    /// <summary>Name of the output head's tensor.</summary>
    public string HeadName => Architecture.HeadName;

    /// <summary>Columns of embedding and head.</summary>
    public int EmbeddingWidth => Architecture.EmbeddingWidth ?? Config.HiddenSize;

    /// <summary>Name of block <paramref name="index"/>, such as <c>model.layers.3</c>.</summary>
    public string BlockName(int index) => Architecture.BlockName(index);

    /// <summary>Name within the block and shape of every quantizable weight of a block, in slot order.</summary>
    public IReadOnlyList<LinearShape> LinearsOf(int block) => Layout.Linears[block];

    /// <summary>The kinds of quantizable weights that there are: every name within a block with every shape that it has, in the order in which they come.</summary>
    public IReadOnlyList<LinearShape> Linears => Layout.Kinds;

    /// <summary>Module path and shape of every quantizable weight of all blocks, in model order.</summary>
    public IEnumerable<LinearShape> Modules => Layout.Modules;

    /// <summary>Weights of all linears that are quantized.</summary>
    public long LinearWeights => Layout.LinearWeights;

    /// <summary>
    /// Looks whether every tensor of the model is there in the shape that the configuration asks for: weights, biases and norms of the blocks, the final norm,
    /// embedding and head. Reads no values.
    /// </summary>
    /// <exception cref="CheckpointException">One is absent or has another shape.</exception>
    public void CheckLinears()
    {
        foreach (TensorSpec tensor in Layout.Tensors) Checkpoint.CheckShape(tensor.Name, [.. tensor.Shape]);
        // Of a model that no family knows the linears are all that is looked at.
        if (Architecture.Unknown is not null) return;
        foreach (string name in new[] { EmbeddingName, HeadName })
        {
            if (Checkpoint.Contains(name) || !Config.TiedEmbeddings) Checkpoint.CheckShape(name, Config.VocabularySize, EmbeddingWidth);
        }
    }

    /// <summary>Loads the embedding; with tied weights either name serves.</summary>
    /// <param name="table">Another table [vocabulary, width] in the place of the stored one, owned from then on; null for the stored one.</param>
    public InputEmbedding LoadEmbedding(Tensor? table = null) =>
        With(new BlockParts(_tensors, "", -1), parts => Architecture.MakeEmbedding(parts, table ?? LoadTied(EmbeddingName, HeadName)));

    /// <summary>Asks the system to have block <paramref name="index"/> at hand soon, where there is one, and returns at once.</summary>
    public void ReadAhead(int index)
    {
        if (index < Config.Layers) Checkpoint.ReadAhead(BlockName(index));
    }

    /// <summary>Loads block <paramref name="index"/>.</summary>
    public IDecoderBlock LoadBlock(int index) => With(new BlockParts(_tensors, BlockName(index), index), IDecoderBlock (parts) =>
    {
        var block = new DecoderBlock(parts, Architecture.Block(parts));
        if (RunsQuantizers) Checkpoint.Quantizers?.Install(parts, block, Layout);
        Products.Note(block);
        return block;
    });

    /// <summary>
    /// The folds of block <paramref name="index"/> without loading it, for reports and plans: names, channels and reasons. What it gives can neither be folded nor rotated.
    /// </summary>
    public BlockFolds FoldsOf(int index)
    {
        using TensorListing listing = Listing();
        using var parts = new BlockParts(listing, BlockName(index), index);
        IBlockBody body = Architecture.Block(parts);
        var folds = new FoldList(parts.Slots, parts.Tensors);
        body.AddFolds(folds);
        return folds.Finish();
    }

    /// <summary>Why the residual stream of the model cannot be rotated, with the name of what is in the way; null where it can. Loads nothing.</summary>
    public string? StreamRotationObstacle()
    {
        if (Architecture.Unknown is { } unknown) return unknown;
        using (TensorListing listing = Listing())
        {
            using Tensor table = listing.Device.Zeros(1), weight = listing.Device.Zeros(1);
            using var parts = new BlockParts(listing, "", -1);
            if (Architecture.MakeEmbedding(parts, table).RotationObstacle is { } first) return first;
            if (Architecture.MakeHead(parts, weight).RotationObstacle is { } last) return last;
        }
        return Enumerable.Range(0, Config.Layers).Select(index => (Index: index, Reason: FoldsOf(index).RotationObstacle)).Where(block => block.Reason is not null)
            .Select(block => $"block {block.Index}: {block.Reason}").FirstOrDefault();
    }

    /// <summary>Why files cannot say static steps of the model's keys and values, with the block where it begins; null where they can. Loads nothing.</summary>
    public string? CacheStorageObstacle()
    {
        if (Architecture.Unknown is not null) return null;
        using TensorListing listing = Listing();
        for (int index = 0; index < Config.Layers; index++)
        {
            using var parts = new BlockParts(listing, BlockName(index), index);
            if (Architecture.Block(parts).Mixer.Caches.Select(site => site.StorageObstacle).FirstOrDefault(reason => reason is not null) is { } obstacle) return $"block {index}: {obstacle}";
        }
        return null;
    }

    /// <summary>Loads the final norm and the output head; with tied weights either name serves.</summary>
    /// <param name="weight">Another matrix [vocabulary, width] in the place of the stored one, owned from then on; null for the stored one.</param>
    public OutputHead LoadHead(Tensor? weight = null) =>
        With(new BlockParts(_tensors, "", -1), parts => Architecture.MakeHead(parts, weight ?? LoadTied(HeadName, EmbeddingName)));

    /// <summary>Loads the matrix of the embedding or of the head, [vocabulary, width]; with tied weights either name serves.</summary>
    /// <param name="module">The module of one of the two, see <see cref="VocabularyShape"/>.</param>
    public Tensor LoadVocabulary(string module)
    {
        string name = module + ".weight";
        return LoadTied(name, name == HeadName ? EmbeddingName : HeadName);
    }

    /// <summary>
    /// Gives memory of what is gone back to the system: tensors that the device keeps for later, pages of files that were read, and what the collector would leave for later,
    /// such as the codes of a finished block. So a block begins with what the one before it began with, however many are done.
    /// </summary>
    public void Trim()
    {
        Device.Trim();
        Checkpoint.ReleasePages();
        if (Paging != WeightPaging.None) ManagedMemory.Release();
        else ManagedMemory.TakeBack(sizeof(float) * Layout.LargestBlock.Sum(linear => linear.Weights));
    }

    /// <inheritdoc/>
    public void Dispose()
    {
        foreach (RopeTables tables in _tables.Values) tables.Dispose();
        Checkpoint.Dispose();
    }

    private TensorListing Listing() => new(name => Layout.Find(name) is { View: null }, Selection);

    private static T With<T>(BlockParts parts, Func<BlockParts, T> make)
    {
        try
        {
            return make(parts);
        }
        catch
        {
            parts.Dispose();
            throw;
        }
    }

    private RopeTables Tables(RopeConfig rope)
    {
        if (!_tables.TryGetValue(rope, out RopeTables? tables)) _tables[rope] = tables = new RopeTables(Device, rope);
        return tables;
    }

    private Tensor LoadTied(string name, string twin)
    {
        string stored = !Checkpoint.Contains(name) && Config.TiedEmbeddings && Checkpoint.Contains(twin) ? twin : name;
        return Checkpoint.Load(Device, stored, Config.VocabularySize, EmbeddingWidth);
    }
}

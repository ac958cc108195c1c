using LowRankQuant.Formats;
using LowRankQuant.Formats.Gguf;
using LowRankQuant.Models.Families;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Models.Checkpoints.Gguf;

/// <summary>
/// A GGUF LoRA file: low-rank branches under the names of the base file, each with its own rank. Rows of B, and columns of A, which the file
/// keeps in the order of its architecture, come back in that of the model.
/// </summary>
/// <remarks>
/// | key or tensor | content |
/// | --- | --- |
/// | general.type, adapter.type | <c>adapter</c>, <c>lora</c> |
/// | general.architecture | that of the base model |
/// | adapter.lora.alpha | the factor of B A is alpha / rank; 0 or absent: 1, whatever the rank |
/// | NAME.weight.lora_a, NAME.weight.lora_b | [rank, inFeatures], [outFeatures, rank] |
/// Source: ggml-org/llama.cpp, src/llama-adapter.cpp; FORMATS 3.9.
/// </remarks>
public sealed class GgufLoraAdapter : ILowRankAdapter
{
    private const string TypeKey = "general.type", Adapter = "adapter", EndA = ".lora_a", EndB = ".lora_b", WeightSuffix = ".weight";
    private readonly GgufFile _file;
    private readonly ICheckpoint _model;
    private readonly GgufForm? _form;
    private readonly double _alpha;
    private readonly Dictionary<string, (string A, string B)> _pairs = new(StringComparer.Ordinal);
    private readonly Dictionary<string, GgufPart> _places = new(StringComparer.Ordinal);

    private GgufLoraAdapter(GgufFile file, ICheckpoint model)
    {
        _file = file;
        _model = model;
        _form = model.Architecture.Gguf;
        _alpha = file.Metadata.FindDouble("adapter.lora.alpha") ?? 0;
    }

    /// <inheritdoc/>
    public string Location => _file.Location;

    /// <inheritdoc/>
    public string Kind => "GGUF LoRA adapter";

    /// <inheritdoc/>
    public string TensorPath => _file.Location;

    /// <inheritdoc/>
    public long StoredBytes => FileLength.Of(_file.Location);

    /// <inheritdoc/>
    public IReadOnlyCollection<string> Modules => _pairs.Keys;

    /// <summary>Opens a file and checks names, shapes and ranks of all tensors.</summary>
    /// <param name="path">The file.</param>
    /// <param name="model">The model that it belongs to.</param>
    /// <exception cref="CheckpointFormatException">The file is no LoRA adapter of such a model, or an unsound one.</exception>
    public static GgufLoraAdapter Open(string path, ICheckpoint model)
    {
        GgufFile file = GgufFile.Open(path);
        try
        {
            var adapter = new GgufLoraAdapter(file, model);
            adapter.CheckKind();
            adapter.Pair();
            return adapter;
        }
        catch
        {
            file.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public LowRankBranch? Read(string module)
    {
        if (!_pairs.TryGetValue(module, out (string A, string B) names)) return null;
        int rank = RankOf(module);
        GgufPart place = _places[module];
        float[] a = ReadAll(names.A), b = ReadAll(names.B);
        if (_alpha != 0)
        {
            double factor = _alpha / rank;
            for (int i = 0; i < b.Length; i++) b[i] = (float)(b[i] * factor);
        }
        if (place.Rows is { } rows) RowOrders.ToModel(b, rows, rank);
        if (place.ColumnOrder is { } columns)
        {
            for (int row = 0; row < rank; row++) RowOrders.ToModel(a.AsSpan(row * columns.Length, columns.Length), columns, 1);
        }
        GgufTensor stored = _file.Tensors[names.A];
        return new LowRankBranch(rank, a, b, (int)(8 * stored.ByteLength / stored.ElementCount));
    }

    /// <inheritdoc/>
    public (int OutFeatures, int InFeatures) ShapeOf(string module) => ((int)_file.ShapeOf(_pairs[module].B)[0], (int)_file.ShapeOf(_pairs[module].A)[1]);

    /// <inheritdoc/>
    public int RankOf(string module) => (int)_file.ShapeOf(_pairs[module].A)[0];

    /// <inheritdoc/>
    public long StoredBitsOf(string module) => 8 * (_file.Tensors[_pairs[module].A].ByteLength + _file.Tensors[_pairs[module].B].ByteLength);

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    /// <summary>Whether a GGUF file calls itself an adapter.</summary>
    internal static bool Is(GgufFile file) => file.Metadata.FindString(TypeKey) == Adapter;

    private void CheckKind()
    {
        Expect(TypeKey, Adapter);
        Expect("adapter.type", "lora");
        if (_form is null) throw Bad("general.architecture", $"is '{_file.Metadata.GetString("general.architecture")}'; models of type {_model.Config.ModelType} have no GGUF form.");
        Expect("general.architecture", _form.Name);
        if (_file.Metadata.All.Keys.FirstOrDefault(key => key.StartsWith("adapter.alora.", StringComparison.Ordinal)) is { } activated)
            throw Bad(activated, "the adapter acts behind certain tokens only (aLoRA); it is not read.");
        if (!double.IsFinite(_alpha)) throw Bad("adapter.lora.alpha", $"is {_alpha}; it must be finite.");

        void Expect(string key, string value)
        {
            if (_file.Metadata.GetString(key) is { } found && found != value) throw Bad(key, $"is '{found}'; '{value}' is read.");
        }
    }

    private void Pair()
    {
        // Of a tensor that holds several, or a part of one, a branch is none of a linear of the model.
        Dictionary<string, GgufStored> linears = _form!.Place(_model.Layout, out _)
            .Where(stored => stored.TakesBranches || (stored is { Name: GgufNames.Head, Parts: [{ Factor: null }] } && !_model.Config.TiedEmbeddings))
            .ToDictionary(stored => stored.Name, StringComparer.Ordinal);
        foreach (string name in _file.Names)
        {
            bool isA = name.EndsWith(EndA, StringComparison.Ordinal);
            if (!isA && !name.EndsWith(EndB, StringComparison.Ordinal)) throw Bad(name, $"tensors of an adapter end in {EndA} or {EndB}.");
            if (!linears.TryGetValue(name[..^EndA.Length], out GgufStored? stored))
                throw Bad(name, "belongs to no linear weight of the model; llama.cpp puts branches on linear weights of the blocks and on a head of its own.");
            string module = stored.Parts[0].Name[..^WeightSuffix.Length];
            _places[module] = stored.Parts[0];
            _pairs.TryGetValue(module, out (string A, string B) pair);
            _pairs[module] = isA ? (name, pair.B) : (pair.A, name);
        }
        foreach ((string module, (string a, string b)) in _pairs)
        {
            if (a is null || b is null) throw Bad(a ?? b!, $"its partner is missing; a branch is a pair {EndA} and {EndB}.");
            CheckShapes(module, a, b);
        }
    }

    private void CheckShapes(string module, string a, string b)
    {
        IReadOnlyList<long> right = _file.ShapeOf(a), left = _file.ShapeOf(b);
        if (right.Count != 2 || left.Count != 2) throw Bad(a, "factors are matrices.");
        if (right[0] != left[1]) throw Bad(a, $"factors of rank {right[0]} and {left[1]}.");
        if (right.Concat(left).Any(size => size is < 1 or > int.MaxValue)) throw Bad(a, "a dimension is empty or too large.");
        if (right[0] * right[1] > Array.MaxLength || left[0] * left[1] > Array.MaxLength)
            throw Bad(a, $"factors of {right[0]} x {right[1]} and {left[0]} x {left[1]} elements; at most {Array.MaxLength} each are held at once.");
        GgufPart place = _places[module];
        if (place.Rows is not null && left[0] != place.SpecRows) throw Bad(b, $"has {left[0]} rows; the weight has {place.SpecRows}.");
        if (place.ColumnOrder is not null && right[1] != place.Columns) throw Bad(a, $"has {right[1]} columns; the weight has {place.Columns}.");
    }

    private float[] ReadAll(string name)
    {
        IReadOnlyList<long> shape = _file.ShapeOf(name);
        var values = new float[checked((int)(shape[0] * shape[1]))];
        _file.ReadSingles(name, values);
        foreach (float value in values)
        {
            if (!float.IsFinite(value)) throw Bad(name, $"holds {value}; every value must be finite.");
        }
        return values;
    }

    private CheckpointFormatException Bad(string item, string message) => new(Adapter, _file.Location, item, message);
}

using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Peft;

/// <summary>A PEFT LoRA folder: low-rank branches by module, the factor alpha / r folded into B. Every tensor must belong to a pair.</summary>
public sealed class PeftAdapter : ILowRankAdapter
{
    private const string Prefix = "base_model.model.";
    private readonly SafetensorsFile _file;
    private readonly PeftConfig _config;
    private readonly Dictionary<string, (string A, string B)> _pairs = new(StringComparer.Ordinal);

    private PeftAdapter(string folder, PeftConfig config, SafetensorsFile file)
    {
        Location = folder;
        _config = config;
        _file = file;
    }

    /// <inheritdoc/>
    public string Location { get; }

    /// <inheritdoc/>
    public string Kind => "PEFT adapter";

    /// <inheritdoc/>
    public IReadOnlyCollection<string> Modules => _pairs.Keys;

    /// <inheritdoc/>
    public long StoredBytes => FileLength.Of(_file.Location);

    /// <inheritdoc/>
    public string TensorPath => _file.Location;

    /// <summary>Opens a folder and checks names, shapes and ranks of all tensors.</summary>
    /// <exception cref="CheckpointFormatException">The folder is no LoRA adapter, or an unsound one.</exception>
    public static PeftAdapter Open(string folder)
    {
        PeftConfig config = PeftConfig.Read(Path.Combine(folder, PeftAdapterWriter.ConfigFile));
        string tensors = Path.Combine(folder, PeftAdapterWriter.TensorFile);
        if (!File.Exists(tensors)) throw new CheckpointFormatException("missing-file", tensors, null, "an adapter folder holds this file beside its configuration.");
        var adapter = new PeftAdapter(folder, config, SafetensorsFile.Open(tensors));
        try
        {
            adapter.Pair();
            return adapter;
        }
        catch
        {
            adapter.Dispose();
            throw;
        }
    }

    /// <inheritdoc/>
    public LowRankBranch? Read(string module)
    {
        if (!_pairs.TryGetValue(module, out (string A, string B) names)) return null;
        (int rank, double factor) = _config.For(module);
        float[] a = ReadAll(names.A), b = ReadAll(names.B);
        for (int i = 0; i < b.Length; i++) b[i] = (float)(b[i] * factor);
        int stored = _file.Tensors[names.A].Type.Size() * 8;
        return new LowRankBranch(rank, a, b, _config.FactorBits ?? stored);
    }

    /// <inheritdoc/>
    public (int OutFeatures, int InFeatures) ShapeOf(string module) =>
        ((int)_file.Tensors[_pairs[module].B].Shape[0], (int)_file.Tensors[_pairs[module].A].Shape[1]);

    /// <inheritdoc/>
    public int RankOf(string module) => (int)_file.Tensors[_pairs[module].A].Shape[0];

    /// <inheritdoc/>
    public long StoredBitsOf(string module) => 8 * (_file.Tensors[_pairs[module].A].ByteLength + _file.Tensors[_pairs[module].B].ByteLength);

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private void Pair()
    {
        foreach (string name in _file.Names)
        {
            (string module, bool isA) = Parse(name);
            _pairs.TryGetValue(module, out (string A, string B) pair);
            _pairs[module] = isA ? (name, pair.B) : (pair.A, name);
        }
        foreach ((string module, (string a, string b)) in _pairs)
        {
            if (a is null || b is null) throw Bad(a ?? b!, "its partner is missing; a branch is a pair lora_A and lora_B.");
            _config.CheckTarget(module);
            long[] left = _file.Tensors[b].Shape, right = _file.Tensors[a].Shape;
            if (left.Length != 2 || right.Length != 2) throw Bad(a, "factors are matrices.");
            (int rank, _) = _config.For(module);
            if (right[0] != rank || left[1] != rank)
                throw Bad(a, $"factors of rank {right[0]} and {left[1]} where the configuration says {rank}.");
            if (left[0] is < 1 or > int.MaxValue || right[1] is < 1 or > int.MaxValue) throw Bad(a, "a dimension is empty or too large.");
        }
    }

    private (string Module, bool IsA) Parse(string name)
    {
        foreach (string part in new[] { ".lora_A", ".lora_B" })
        {
            foreach (string end in new[] { ".weight", ".default.weight" })
            {
                if (name.StartsWith(Prefix, StringComparison.Ordinal) && name.EndsWith(part + end, StringComparison.Ordinal) && name.Length > Prefix.Length + part.Length + end.Length)
                    return (name[Prefix.Length..^(part.Length + end.Length)], part == ".lora_A");
            }
        }
        throw Bad(name, "tensors are called base_model.model.MODULE.lora_A.weight or lora_B.weight.");
    }

    private float[] ReadAll(string name)
    {
        var values = new float[checked((int)(_file.Tensors[name].Shape[0] * _file.Tensors[name].Shape[1]))];
        _file.ReadSingles(name, values);
        foreach (float value in values)
        {
            if (!float.IsFinite(value)) throw Bad(name, $"holds {value}; every value must be finite.");
        }
        return values;
    }

    private CheckpointFormatException Bad(string tensor, string message) => new("adapter", _file.Location, tensor, message);
}

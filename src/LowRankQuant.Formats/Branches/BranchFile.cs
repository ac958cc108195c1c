using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Numerics.Quantized;

namespace LowRankQuant.Formats.Branches;

/// <summary>
/// Low-rank branches as lrq counts them, in a safetensors file of their own: W' = W + B A for every module that has one. Factors of 8 bits are codes with
/// their scales, those of 16 bits are floats; every value comes back exactly.
/// </summary>
/// <remarks>
/// | tensor | type, shape | content |
/// | --- | --- | --- |
/// | MODULE.lora_A.codes | I8 [rank, in] | codes of A, -127 to 127 |
/// | MODULE.lora_A.scale | F16 or BF16 [rank] | scale of every row: A[t, j] = codes[t, j] scale[t] |
/// | MODULE.lora_B.codes | I8 [out, rank] | codes of B |
/// | MODULE.lora_B.scale | F16 or BF16 [rank] | scale of every column: B[i, t] = codes[i, t] scale[t] |
/// | MODULE.lora_A, MODULE.lora_B | F16 or BF16 [rank, in], [out, rank] | factors of 16 bits |
/// Products of a code and a scale are exact in 32-bit floats. <c>__metadata__</c> has <c>lrq.branches</c>, the version of this layout: 1.
/// </remarks>
public sealed class BranchFile : ILowRankAdapter
{
    /// <summary>Name of the file in its folder.</summary>
    public const string FileName = "branches.safetensors";

    /// <summary>Key of the metadata that says which version of the layout it is.</summary>
    internal const string VersionKey = "lrq.branches";

    /// <summary>The version of the layout.</summary>
    internal const string Version = "1";

    /// <summary>Ends of the names of tensors.</summary>
    internal const string EndA = ".lora_A", EndB = ".lora_B", Codes = ".codes", Scale = ".scale";

    private static readonly SafetensorsType[] Halves = [SafetensorsType.F16, SafetensorsType.BF16];
    private readonly SafetensorsFile _file;
    private readonly HashSet<string> _modules = new(StringComparer.Ordinal);

    private BranchFile(string folder, SafetensorsFile file)
    {
        Location = folder;
        _file = file;
    }

    /// <inheritdoc/>
    public string Location { get; }

    /// <inheritdoc/>
    public string Kind => "lrq branch file";

    /// <inheritdoc/>
    public string TensorPath => _file.Location;

    /// <inheritdoc/>
    public long StoredBytes => FileLength.Of(_file.Location);

    /// <inheritdoc/>
    public IReadOnlyCollection<string> Modules => _modules;

    /// <summary>Whether a folder holds such a file.</summary>
    public static bool IsIn(string folder) => File.Exists(Path.Combine(folder, FileName));

    /// <summary>Opens the file of a folder and checks names, types and shapes of all tensors.</summary>
    /// <param name="folder">The folder.</param>
    /// <exception cref="CheckpointFormatException">The file is of another layout, or unsound.</exception>
    public static BranchFile Open(string folder)
    {
        var file = new BranchFile(folder, SafetensorsFile.Open(Path.Combine(folder, FileName)));
        try
        {
            file.Check();
            return file;
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
        if (!_modules.Contains(module)) return null;
        int rank = RankOf(module);
        return AreCodes(module)
            ? new LowRankBranch(rank, ReadCodes(module + EndA).Rows(), ReadCodes(module + EndB).Columns(), 8)
            : new LowRankBranch(rank, _file.ReadFinite(_file.Tensors[module + EndA]), _file.ReadFinite(_file.Tensors[module + EndB]), 16);
    }

    /// <inheritdoc/>
    public (int OutFeatures, int InFeatures) ShapeOf(string module) => ((int)Factor(module, EndB).Shape[0], (int)Factor(module, EndA).Shape[1]);

    /// <inheritdoc/>
    public int RankOf(string module) => (int)Factor(module, EndA).Shape[0];

    /// <inheritdoc/>
    public long StoredBitsOf(string module) => 8 * Parts(module).Sum(name => _file.Tensors[name].ByteLength);

    /// <inheritdoc/>
    public void Dispose() => _file.Dispose();

    private bool AreCodes(string module) => _file.Contains(module + EndA + Codes);

    private TensorEntry Factor(string module, string end) => _file.Tensors[module + end + (AreCodes(module) ? Codes : "")];

    private IEnumerable<string> Parts(string module) => AreCodes(module)
        ? [module + EndA + Codes, module + EndA + Scale, module + EndB + Codes, module + EndB + Scale]
        : [module + EndA, module + EndB];

    private void Check()
    {
        string? version = _file.Metadata.GetValueOrDefault(VersionKey);
        string found = version is null ? "the key is missing from the file's metadata" : $"is '{version}'";
        if (version != Version) throw Bad("branch-version", VersionKey, $"{found}; {Version} is read.");
        foreach (string name in _file.Names) _modules.Add(ModuleOf(name));
        foreach (string module in _modules) CheckModule(module);
    }

    private string ModuleOf(string name)
    {
        string part = name.EndsWith(Codes, StringComparison.Ordinal) ? name[..^Codes.Length]
            : name.EndsWith(Scale, StringComparison.Ordinal) ? name[..^Scale.Length]
            : name;
        bool isFactor = part.EndsWith(EndA, StringComparison.Ordinal) || part.EndsWith(EndB, StringComparison.Ordinal);
        return isFactor && part.Length > EndA.Length
            ? part[..^EndA.Length]
            : throw Bad("branch-tensor", name, $"names are MODULE{EndA} and MODULE{EndB}, or these with {Codes} and {Scale}.");
    }

    private void CheckModule(string module)
    {
        bool codes = AreCodes(module);
        string ending = codes ? Codes : "";
        SafetensorsType[] types = codes ? [SafetensorsType.I8] : Halves;
        TensorEntry a = _file.Require(module + EndA + ending, 2, types), b = _file.Require(module + EndB + ending, 2, types);
        long rank = a.Shape[0];
        if (b.Shape[1] != rank) throw Bad("size-mismatch", b.Name, $"is {b.Describe()}; {a.Name} has rank {rank}.");
        foreach (TensorEntry factor in new[] { a, b })
        {
            if (factor.Shape.Any(size => size is < 1 or > int.MaxValue) || factor.Shape[0] * factor.Shape[1] > Array.MaxLength)
                throw Bad("size-mismatch", factor.Name, $"is {factor.Describe()}; 1 to {Array.MaxLength} elements are read.");
            if (!codes) continue;
            TensorEntry scale = _file.Require(factor.Name[..^Codes.Length] + Scale, 1, Halves);
            if (scale.Shape[0] != rank) throw Bad("size-mismatch", scale.Name, $"is {scale.Describe()}; rank {rank} takes [{rank}].");
        }
        string[] parts = [.. Parts(module)];
        string[] others = [EndA, EndA + Codes, EndA + Scale, EndB, EndB + Codes, EndB + Scale];
        if (others.Select(end => module + end).FirstOrDefault(name => _file.Contains(name) && !parts.Contains(name)) is { } extra)
            throw Bad("branch-tensor", extra, $"does not belong beside {string.Join(", ", parts)}.");
    }

    private FactorCodes ReadCodes(string factor)
    {
        TensorEntry codes = _file.Tensors[factor + Codes], scale = _file.Tensors[factor + Scale];
        var values = new sbyte[codes.ElementCount];
        _file.Read(codes.Name, values.AsSpan());
        int bad = values.AsSpan().IndexOf(sbyte.MinValue);
        if (bad >= 0) throw Bad("code", codes.Name, $"element {bad} is {sbyte.MinValue}; codes are -{FactorScale.MaxCode} to {FactorScale.MaxCode}.");
        return new FactorCodes(values, _file.ReadFinite(scale), scale.Type.ToScaleType());
    }

    private CheckpointFormatException Bad(string kind, string item, string message) => new(kind, _file.Location, item, message);
}

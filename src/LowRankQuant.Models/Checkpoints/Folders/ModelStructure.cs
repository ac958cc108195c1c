using System.Text.Json.Nodes;
using LowRankQuant.Formats;
using LowRankQuant.Formats.Safetensors;
using LowRankQuant.Models.Decoder.Layouts;
using LowRankQuant.Models.Families;
using LowRankQuant.Models.Families.Catalog;

namespace LowRankQuant.Models.Checkpoints.Folders;

/// <summary>
/// Compares the tensors of a folder with what its configuration says, so that nothing that changes the function goes unnoticed: surplus and missing blocks
/// and tensors are refused by name, biases that the files hold are honoured, and what is no part of the model is listed to be carried over.
/// </summary>
internal sealed class ModelStructure
{
    private const int MostNamed = 4;

    // Ends of names that only quantized linears have; beside plain floats they mean that the configuration is missing.
    private static readonly string[] QuantizedParts =
    [
        ".qweight", ".qzeros", ".scales", ".biases", ".g_idx", ".weight_packed", ".weight_scale", ".weight_scale_inv", ".weight_zero_point", ".weight_shape",
        ".weight_g_idx", ".weight_global_scale", ".weight_scale_2", ".scale_weight", ".weight_codes", ".weight_block_scale", ".weight_group_scale",
        ".weight_block_minimum", ".weight_group_minimum", ".absmax", ".quant_map", ".SCB", ".weight_format",
    ];

    private readonly FolderContents _contents;
    private readonly HashSet<string> _names;

    private ModelStructure(FolderContents contents, Architecture architecture)
    {
        _contents = contents;
        Architecture = architecture;
        _names = [.. contents.Names.Where(name => !architecture.IsBuffer(name))];
        Layout = architecture.Layout(Holds);
    }

    /// <summary>The architecture as the files have it.</summary>
    public Architecture Architecture { get; private set; }

    /// <summary>Its tensors.</summary>
    public ModelLayout Layout { get; private set; }

    /// <summary>Tensors that are no part of the model and are carried over as they are.</summary>
    public List<string> Carried { get; } = [];

    /// <summary>What the user should know.</summary>
    public List<string> Warnings { get; } = [];

    /// <summary>Looks at a folder.</summary>
    /// <param name="contents">Its tensors.</param>
    /// <param name="head">Which matrix is the output head.</param>
    /// <param name="json">config.json; corrected where the files say more.</param>
    /// <param name="file">Its path, for messages.</param>
    /// <param name="families">Families beside the known ones.</param>
    /// <exception cref="CheckpointException">A block or tensor is missing, or there are more blocks than the configuration says.</exception>
    /// <exception cref="UnsupportedModelException">A tensor that changes the function has no place in the architecture.</exception>
    public static ModelStructure Of(FolderContents contents, OutputHeadChoice head, JsonObject json, string file, IReadOnlyList<IModelFamily>? families)
    {
        head.Correct(json, ModelFamilies.Read(json, file, families).Config.TiedEmbeddings);
        var structure = new ModelStructure(contents, ModelFamilies.Read(json, file, families));
        if (head.Warning is { } warning) structure.Warnings.Add(warning);
        structure.CheckBlocks();
        structure.HonourBiases(json, file, families);
        structure.Divide();
        return structure;
    }

    /// <summary>Looks at a folder whose model_type no family knows: linears by their names, and everything else is carried over.</summary>
    /// <param name="contents">Its tensors.</param>
    /// <param name="json">config.json.</param>
    /// <exception cref="UnsupportedModelException">No tensor looks like a linear of a numbered layer.</exception>
    public static ModelStructure OfUnknown(FolderContents contents, JsonObject json)
    {
        IReadOnlyList<NumberedLinear> linears = NumberedLinears.Find(contents.Names.Where(name => contents.TypeOf(name) is not { } type || IsFloat(type))
            .Select(name => (Name: name, Shape: contents.ShapeOf(name))).Where(tensor => tensor.Shape.Count == 2).Select(tensor => (tensor.Name, tensor.Shape[0], tensor.Shape[1])));
        if (linears.Count == 0)
            throw new UnsupportedModelException($"{contents.Location}: {UnknownModelType.Describe(json)}; and none of its tensors looks like a linear of a numbered layer.");
        var structure = new ModelStructure(contents, UnknownFamily.Read(json, linears, name => contents.Contains($"{name}.weight")));
        HashSet<string> own = [.. structure.Layout.Tensors.Select(tensor => tensor.Name)];
        structure.Carried.AddRange(contents.Stored.Names.Where(name => !own.Contains(name) && contents.Container?.Owns(name) != true).Order(StringComparer.Ordinal));
        structure.Warnings.Add($"{UnknownModelType.Describe(json)}.");
        string[] stacks = [.. structure.Carried.Where(name => contents.ShapeOf(name).Count > 2)];
        string left = stacks.Length == 0 ? "" : $", among them {stacks.Length} of more than two dimensions ({string.Join(", ", stacks.Take(MostNamed))}{(stacks.Length > MostNamed ? ", ..." : "")})";
        structure.Warnings.Add(
            $"{linears.Count} linears of {linears.Select(linear => linear.Layer).Distinct().Count()} layers were found by their names ({string.Join(", ", structure.Layout.Kinds.Select(kind => kind.Name).Distinct().Take(8))}); " +
            $"{structure.Carried.Count} other tensors are carried over as they are{left}.");
        return structure;
    }

    private bool Holds(string name) => _names.Contains(name);

    private void CheckBlocks()
    {
        HashSet<int> blocks = [.. _names.Select(Architecture.BlockOf).OfType<int>()];
        int layers = Architecture.Config.Layers, surplus = blocks.Where(block => block >= layers + Architecture.ExtraBlocks).DefaultIfEmpty(-1).Min();
        if (surplus >= 0)
        {
            throw new CheckpointException(
                $"{_contents.Location}: the files hold {blocks.Count} blocks ('{Architecture.BlockName(surplus)}' among them), " +
                $"and num_hidden_layers in config.json is {layers}; correct the key, or remove the tensors of the other blocks.");
        }
        int missing = Enumerable.Range(0, layers).Where(block => !blocks.Contains(block)).DefaultIfEmpty(-1).First();
        if (missing < 0 || blocks.Count == 0) return;
        throw new CheckpointException(
            $"{_contents.Location}: tensors of '{Architecture.BlockName(missing)}' are absent: the files hold {blocks.Count} blocks, " +
            $"and num_hidden_layers in config.json is {layers}; correct the key, or download the model again.");
    }

    // Biases count where the files have them all; the configuration could not say that only some linears have one.
    private void HonourBiases(JsonObject json, string file, IReadOnlyList<IModelFamily>? families)
    {
        JsonObject text = ModelFamilies.TextPart(json, families);
        foreach ((string key, IReadOnlyList<string> modules) in Layout.Biases)
        {
            string? first = modules.Select(module => $"{module}.bias").FirstOrDefault(_names.Contains);
            if (first is null) continue;
            if (modules.Select(module => $"{module}.bias").FirstOrDefault(name => !_names.Contains(name)) is { } absent)
            {
                string linears = string.Join(", ", modules.Where(module => Architecture.BlockOf(module) == 0).Select(module => module[(Architecture.BlockName(0).Length + 1)..]));
                throw new UnsupportedModelException(
                    $"{_contents.Location}: tensor '{first}' is there and '{absent}' is not; " +
                    $"with {key} all of {linears} have a bias, without it none has.");
            }
            text[key] = true;
            Warnings.Add($"{key} is not true, but the files hold '{first}' and the others; they count, and what is written says {key}: true.");
        }
        if (!Layout.Biases.Keys.Any(key => text[key] is JsonValue)) return;
        Architecture = ModelFamilies.Read(json, file, families);
        Layout = Architecture.Layout(Holds);
    }

    private void Divide()
    {
        HashSet<string> own = [Architecture.EmbeddingName, Architecture.HeadName];
        var viewed = new ViewedTensors(_contents);
        foreach (TensorSpec tensor in Layout.Tensors)
        {
            string name = tensor.View?.Stored ?? tensor.Name;
            bool isNew = own.Add(name);
            if (!_names.Contains(name)) throw Absent(name);
            if (tensor.View is not null) viewed.Check(tensor.View);
            if (tensor.View is { IsMxfp4: true } packed)
            {
                own.Add(packed.Mxfp4Scales);
                continue;
            }
            if (isNew && _contents.TypeOf(name) is { } type && !IsFloat(type)) throw NoFloat(name, type);
        }
        foreach (string name in new[] { Architecture.EmbeddingName, Architecture.HeadName }.Where(_names.Contains))
        {
            if (_contents.TypeOf(name) is { } type && !IsFloat(type)) throw NoFloat(name, type);
        }
        foreach (string name in _names.Where(name => !own.Contains(name)).Order(StringComparer.Ordinal))
        {
            SafetensorsType? type = _contents.TypeOf(name);
            bool isOurs = Architecture.Owns(name) && !Architecture.IsUnused(name);
            if (QuantizedParts.Any(end => name.EndsWith(end, StringComparison.Ordinal)) && isOurs)
            {
                throw new CheckpointException(
                    $"{_contents.Location}: tensor '{name}' is a part of a quantized weight, and {Configuration} it; " +
                    "without it the weight would be another. Restore the configuration, or remove the tensor.");
            }
            if (type is null || (IsFloat(type.Value) && isOurs))
            {
                throw new UnsupportedModelException(
                    $"{_contents.Location}: tensor '{name}' has no place in the {Architecture.Config.ModelType} architecture as config.json describes it; " +
                    "without it the model would be another. Correct config.json, or remove the tensor if it is not needed.");
            }
            Carried.Add(name);
        }
        if (Carried.Count == 0) return;
        string more = Carried.Count > MostNamed ? $" and {Carried.Count - MostNamed} more" : "";
        Warnings.Add(
            "no part of the model that is computed, carried over untouched into folders and left out of GGUF files: " +
            $"{string.Join(", ", Carried.Take(MostNamed))}{more}.");
    }

    private string Configuration => _contents.Container is null
        ? "neither config.json nor quantize_config.json describes"
        : $"its configuration ({_contents.Container.Name}) does not describe";

    private CheckpointException Absent(string name)
    {
        string module = name[..name.LastIndexOf('.')];
        if (QuantizedParts.Select(end => module + end).FirstOrDefault(_names.Contains) is { } part)
        {
            return new CheckpointException(
                $"{_contents.Location}: tensor '{name}' is stored quantized ('{part}' is there), and {Configuration} it; " +
                "restore quantization_config in config.json, or quantize_config.json.");
        }
        return _contents.Absent(name, Architecture);
    }

    private CheckpointException NoFloat(string name, SafetensorsType type) => new(
        $"{_contents.Location}: tensor '{name}' has type {type.HeaderName()}, and a weight is of floats; if the model is quantized, {Configuration} it.");

    private static bool IsFloat(SafetensorsType type) => type
        is SafetensorsType.F64 or SafetensorsType.F32 or SafetensorsType.F16 or SafetensorsType.BF16 or SafetensorsType.F8E4M3 or SafetensorsType.F8E5M2;
}

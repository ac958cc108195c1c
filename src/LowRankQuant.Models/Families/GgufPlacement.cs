using System.Globalization;
using LowRankQuant.Models.Decoder;

namespace LowRankQuant.Models.Families;

/// <summary>Where the tensors of a model lie in a GGUF file of an architecture.</summary>
internal static class GgufPlacement
{
    private const string Weight = ".weight", Bias = ".bias";
    private static readonly string[] Ends = [Weight, Bias];

    /// <summary>The tensors of a file, in its order: embedding, what stands around the blocks, head, blocks.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="model">The model.</param>
    /// <param name="layout">Its tensors.</param>
    /// <param name="unplaced">Those without a place.</param>
    public static IReadOnlyList<GgufStored> Of(GgufArchitecture architecture, Architecture model, ModelLayout layout, out IReadOnlyList<string> unplaced)
    {
        DecoderConfig config = model.Config;
        HashSet<string> linears = [.. layout.Modules.Select(module => module.Name + Weight)];
        int width = model.EmbeddingWidth ?? config.HiddenSize;
        var embedding = new TensorSpec(model.EmbeddingName, [config.VocabularySize, width], null);
        var result = new List<GgufStored> { new(GgufNames.Embedding, [config.VocabularySize, width], [embedding]) { IsTable = true } };
        var groups = new SortedDictionary<(int Block, int Row, int End), (string Name, List<(TensorSpec Part, bool Numbered)> Parts)>();
        var left = new List<string>();
        Dictionary<string, (int Row, string File)> outer = Rows(architecture.Outer), inner = Rows(architecture.Names);
        foreach (TensorSpec tensor in layout.Tensors)
        {
            int block = model.BlockOf(tensor.Name) ?? -1;
            string name = block < 0 ? tensor.Name : tensor.Name[(model.BlockName(block).Length + 1)..];
            if (block >= 0 && architecture.Numbers.Any(number => number.Model == name)) continue;
            bool numbered = Unnumbered(ref name) && block >= 0;
            if (Find(architecture, block < 0 ? outer : inner, name) is not { } found)
            {
                left.Add(tensor.Name);
                continue;
            }
            (int, int, int) key = (block, found.Row, found.End);
            if (!groups.TryGetValue(key, out (string Name, List<(TensorSpec, bool)> Parts) group))
                groups[key] = group = (block < 0 ? found.File : string.Create(CultureInfo.InvariantCulture, $"blk.{block}.{found.File}"), []);
            group.Parts.Add((tensor, numbered));
        }
        List<GgufStored> stored = [.. groups.Select(group => Stored(group.Value.Name, group.Value.Parts))];
        result.AddRange(stored.Where(tensor => !tensor.Name.StartsWith("blk.", StringComparison.Ordinal) && !tensor.Name.StartsWith("output.", StringComparison.Ordinal)));
        if (!config.TiedEmbeddings || architecture.WantsHead)
        {
            TensorSpec head = config.TiedEmbeddings ? embedding : embedding with { Name = model.HeadName };
            result.Add(new GgufStored(GgufNames.Head, [config.VocabularySize, width], [head]) { IsTable = true });
        }
        result.AddRange(stored.Where(tensor => tensor.Name.StartsWith("output.", StringComparison.Ordinal)));
        result.AddRange(stored.Where(tensor => tensor.Name.StartsWith("blk.", StringComparison.Ordinal)));
        unplaced = left;
        return result;

        GgufStored Stored(string name, List<(TensorSpec Part, bool Numbered)> parts)
        {
            IReadOnlyList<TensorSpec> specs = [.. parts.Select(part => part.Part)];
            string module = name[(name.LastIndexOf('.', name.LastIndexOf('.') - 1) + 1)..name.LastIndexOf('.')];
            bool norm = module.EndsWith("_norm", StringComparison.Ordinal) && name.EndsWith(Weight, StringComparison.Ordinal);
            bool rotates = architecture.Pairs == GgufPairs.Neighbours && !config.Rope.Interleaved;
            return new GgufStored(name, Shape(specs, parts[0].Numbered), specs)
            {
                RotaryHeads = rotates ? module switch { "attn_q" => config.Heads, "attn_k" => config.KeyValueHeads, _ => 0 } : 0,
                Offset = norm ? architecture.NormOffset : 0,
                IsLinear = linears.Contains(specs[0].Name),
                IsTable = module == "per_layer_token_embd",
            };
        }
    }

    // A number in the model's name makes a stack, one matrix or vector for every number; else rows lie one behind the other.
    private static long[] Shape(IReadOnlyList<TensorSpec> parts, bool stack)
    {
        int rows = parts.Sum(GgufStored.RowsOf);
        bool matrix = parts[0].Shape is [> 1, _];
        if (!stack) return matrix ? [rows, parts[0].Shape[1]] : [parts.Sum(part => (long)part.Shape.Aggregate(1, (product, size) => product * size))];
        int count = parts.Select(part => NumberOf(part.Name)).Distinct().Count();
        return matrix ? [count, rows / count, parts[0].Shape[1]] : [count, rows / count];
    }

    // In blocks the number of the block stands in front of it.
    private static string NumberOf(string name) => name.Split('.').Last(part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out _));

    private static bool Unnumbered(ref string name)
    {
        string[] parts = name.Split('.');
        int at = Array.FindIndex(parts, part => int.TryParse(part, NumberStyles.None, CultureInfo.InvariantCulture, out _));
        if (at < 0) return false;
        parts[at] = "*";
        name = string.Join('.', parts);
        return true;
    }

    private static (int Row, int End, string File)? Find(GgufArchitecture architecture, Dictionary<string, (int Row, string File)> rows, string name)
    {
        if (rows.TryGetValue(name, out (int Row, string File) whole)) return (whole.Row, 0, whole.File);
        int end = Array.FindIndex(Ends, ending => name.EndsWith(ending, StringComparison.Ordinal));
        if (end < 0 || !rows.TryGetValue(name[..^Ends[end].Length], out (int Row, string File) row)) return null;
        return Ends[end] == Bias && !architecture.Biased.Contains(row.File) ? null : (row.Row, end, row.File + Ends[end]);
    }

    // Rows of one name in the file belong together.
    private static Dictionary<string, (int Row, string File)> Rows(IReadOnlyList<(string Model, string File)> names)
    {
        var first = new Dictionary<string, int>(StringComparer.Ordinal);
        var rows = new Dictionary<string, (int, string)>(StringComparer.Ordinal);
        for (int i = 0; i < names.Count; i++)
        {
            first.TryAdd(names[i].File, i);
            rows[names[i].Model] = (first[names[i].File], names[i].File);
        }
        return rows;
    }
}

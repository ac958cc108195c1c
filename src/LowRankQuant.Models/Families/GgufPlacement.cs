using System.Globalization;
using LowRankQuant.Models.Decoder;
using LowRankQuant.Models.Decoder.Layouts;

namespace LowRankQuant.Models.Families;

/// <summary>Where the tensors of a model lie in a GGUF file of an architecture.</summary>
internal static class GgufPlacement
{
    private const string Weight = ".weight", Bias = ".bias";
    private static readonly string[] Ends = [Weight, Bias];

    /// <summary>The tensors of a file, in its order: embedding, what stands around the blocks, head, blocks.</summary>
    /// <param name="architecture">The architecture.</param>
    /// <param name="subject">The model's configuration.</param>
    /// <param name="model">The model.</param>
    /// <param name="layout">Its tensors.</param>
    /// <param name="unplaced">Those without a place.</param>
    public static IReadOnlyList<GgufStored> Of(
        GgufArchitecture architecture, GgufSubject subject, Architecture model, ModelLayout layout, out IReadOnlyList<string> unplaced)
    {
        DecoderConfig config = model.Config;
        HashSet<string> linears = [.. layout.Modules.Select(module => module.Name + Weight)];
        int width = model.EmbeddingWidth ?? config.HiddenSize;
        var embedding = new TensorSpec(model.EmbeddingName, [config.VocabularySize, width], null);
        var result = new List<GgufStored> { Table(GgufNames.Embedding, embedding) };
        var groups = new SortedDictionary<(int Block, int Row, int End), (string File, List<(TensorSpec Part, bool Numbered)> Parts)>();
        var left = new List<string>();
        ILookup<string, (int Row, string File)> outer = Rows(architecture.Outer), inner = Rows(architecture.Names);
        foreach (TensorSpec tensor in layout.Tensors)
        {
            int block = model.BlockOf(tensor.Name) ?? -1;
            string name = block < 0 ? tensor.Name : tensor.Name[(model.BlockName(block).Length + 1)..];
            if (block >= 0 && architecture.Numbers.Any(number => number.Model == name)) continue;
            bool numbered = Unnumbered(ref name) && block >= 0;
            (int Row, int End, string File)[] places = [.. Find(architecture, block < 0 ? outer : inner, name)];
            if (places.Length == 0) left.Add(tensor.Name);
            foreach ((int row, int end, string file) in places)
            {
                (int, int, int) key = (block, row, end);
                if (!groups.TryGetValue(key, out (string File, List<(TensorSpec, bool)> Parts) group)) groups[key] = group = (file, []);
                group.Parts.Add((tensor, numbered));
            }
        }
        List<GgufStored> stored = [.. groups.Select(group => Stored(group.Key.Block, group.Value.File, group.Value.Parts))];
        result.AddRange(stored.Where(tensor => !tensor.Name.StartsWith("blk.", StringComparison.Ordinal) && !tensor.Name.StartsWith("output.", StringComparison.Ordinal)));
        if (!config.TiedEmbeddings || architecture.WantsHead)
        {
            TensorSpec head = config.TiedEmbeddings ? embedding : embedding with { Name = model.HeadName };
            result.Add(Table(GgufNames.Head, head));
        }
        result.AddRange(stored.Where(tensor => tensor.Name.StartsWith("output.", StringComparison.Ordinal)));
        result.AddRange(stored.Where(tensor => tensor.Name.StartsWith("blk.", StringComparison.Ordinal)));
        unplaced = left;
        return result;

        GgufStored Table(string name, TensorSpec spec) =>
            new(name, [config.VocabularySize, width], [new GgufPart(spec) { Layout = architecture.Layout(subject, name) }]) { IsTable = true };

        GgufStored Stored(int block, string file, List<(TensorSpec Spec, bool Numbered)> parts)
        {
            string module = file[..^(Array.Find(Ends, end => file.EndsWith(end, StringComparison.Ordinal)) ?? "").Length];
            bool norm = module.EndsWith("_norm", StringComparison.Ordinal) && file.EndsWith(Weight, StringComparison.Ordinal) && !architecture.PlainNorms.Contains(module);
            bool rotates = architecture.OrdersUnrotated || (architecture.Pairs == GgufPairs.Neighbours && !config.Rope.Interleaved);
            int heads = !rotates ? 0 : module switch { "attn_q" => config.Heads, "attn_k" => config.KeyValueHeads, _ => 0 };
            GgufLayout? form = architecture.Layout(subject, file);
            GgufPart[] made = [.. parts.Select(part => new GgufPart(part.Spec) { Offset = norm ? architecture.NormOffset : 0, Layout = form, Rows = form?.Rows })];
            if (heads > 0) made = [.. made.Select(part => part with { Rows = RowOrders.OfPairs(part.SpecRows, heads, architecture.OrdersPart ? config.Rope.RotatedSize : part.SpecRows / heads) })];
            return new GgufStored(
                block < 0 ? file : string.Create(CultureInfo.InvariantCulture, $"blk.{block}.{file}"), form?.Shape is { } shape ? Filled(shape, made) : Shape(made, parts[0].Numbered), made)
            {
                IsLinear = linears.Contains(made[0].Name),
                IsTable = module == "per_layer_token_embd",
            };
        }
    }

    private static long[] Filled(IReadOnlyList<long> shape, GgufPart[] parts)
    {
        long all = parts.Sum(part => (long)part.Count * part.Columns), given = shape.Where(size => size > 0).Aggregate(1L, (product, size) => product * size);
        return [.. shape.Select(size => size > 0 ? size : all / given)];
    }

    // A number in the model's name makes a stack, one matrix or vector for every number; else rows lie one behind the other. Ones in the middle are left out.
    private static long[] Shape(GgufPart[] parts, bool stack)
    {
        long rows = parts.Sum(part => (long)part.Count), columns = parts[0].Columns;
        bool matrix = parts[0].Spec.Shape is [> 1, _, ..];
        if (!stack) return matrix ? [rows, columns] : [rows * columns];
        int count = parts.Select(part => NumberOf(part.Name)).Distinct().Count();
        return matrix ? [count, rows / count, columns] : [count, rows * columns / count];
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

    private static IEnumerable<(int Row, int End, string File)> Find(GgufArchitecture architecture, ILookup<string, (int Row, string File)> rows, string name)
    {
        if (rows.Contains(name)) return rows[name].Select(row => (row.Row, 0, row.File));
        int end = Array.FindIndex(Ends, ending => name.EndsWith(ending, StringComparison.Ordinal));
        if (end < 0) return [];
        return rows[name[..^Ends[end].Length]].Where(row => Ends[end] != Bias || architecture.Biased.Contains(row.File)).Select(row => (row.Row, end, row.File + Ends[end]));
    }

    // Rows of one name in the file belong together.
    private static ILookup<string, (int Row, string File)> Rows(IReadOnlyList<(string Model, string File)> names)
    {
        var first = new Dictionary<string, int>(StringComparer.Ordinal);
        for (int i = 0; i < names.Count; i++) first.TryAdd(names[i].File, i);
        return names.ToLookup(name => name.Model, name => (first[name.File], name.File), StringComparer.Ordinal);
    }
}

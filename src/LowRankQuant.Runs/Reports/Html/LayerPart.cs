using System.Text.RegularExpressions;
using LowRankQuant.Evaluation.Depth;
using LowRankQuant.Quantization.Activations;
using LowRankQuant.Quantization.Layers;
using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>A linear with everything that a report knows of it.</summary>
internal sealed record LayerFigures(int Block, string Name)
{
    public TensorReport? Tensor { get; init; }

    public LayerReport? Layer { get; init; }

    public ModuleLoss? Loss { get; init; }

    public double? Bits => Tensor?.BitsPerWeight ?? Layer?.BitsPerWeight ?? Loss?.Bits;

    public int? Rank => Tensor?.Rank ?? Layer?.Rank ?? Loss?.Rank;
}

/// <summary>Layers by block and module: what each loses, its bits and its rank, as maps and as a table.</summary>
internal static partial class LayerPart
{
    private const int MostRows = 24, MostBlocks = 512, WorstInputs = 12;

    /// <summary>Writes it.</summary>
    public static void Write(Sheet sheet, RunReport report)
    {
        LayerFigures[] layers = Join(report);
        if (layers.Length == 0) return;
        sheet.Part("layers", "Layers", () =>
        {
            bool alone = layers.Any(layer => layer.Loss is not null), outputs = layers.Any(layer => layer.Layer is not null);
            if (!alone) sheet.Say("What each layer loses alone was not measured; `in_depth` measures it.", "soft");
            sheet.Figures(() =>
            {
                if (alone) Map(sheet, layers, "Loss of one layer alone", "KL divergence, nats, of the original with this one layer of the result", layer => layer.Loss?.KlDivergence, value => Figure.Number(value, 3), largest: true);
                else if (outputs) Map(sheet, layers, "Relative error of outputs", "on the calibration windows", layer => layer.Layer?.ErrorAfter, value => Figure.Number(value, 3), largest: true);
                else Map(sheet, layers, "Relative error of weights", "a loss that no data has weighed", layer => layer.Tensor?.Error, value => Figure.Number(value, 3), largest: true);
                Map(sheet, layers, "Bits per weight", "codes, scales and branch", layer => layer.Bits, value => Figure.Bits(value), largest: false);
                if (layers.Any(layer => layer.Rank > 0)) Map(sheet, layers, "Rank of the branch", "0 where there is none", layer => layer.Rank, value => Figure.Count(value), largest: false);
            });
            Tensors(sheet, layers);
            Inputs(sheet, report);
        });
    }

    private static void Map(Sheet sheet, LayerFigures[] layers, string title, string caption, Func<LayerFigures, double?> value, Func<double, string> format, bool largest)
    {
        // Experts of one place are a row: the worst of them, or their mean.
        var rows = layers.Where(layer => value(layer) is { } number && double.IsFinite(number)).GroupBy(layer => Digits().Replace(layer.Name, "*")).Take(MostRows).ToArray();
        int[] blocks = [.. layers.Select(layer => layer.Block).Distinct().Order().Take(MostBlocks)];
        if (rows.Length == 0) return;
        Dictionary<int, int> columns = blocks.Select((block, i) => (block, i)).ToDictionary(pair => pair.block, pair => pair.i);
        double[,] cells = new double[rows.Length, blocks.Length];
        for (int i = 0; i < rows.Length; i++)
        {
            for (int j = 0; j < blocks.Length; j++) cells[i, j] = double.NaN;
            foreach (var cell in rows[i].Where(layer => columns.ContainsKey(layer.Block)).GroupBy(layer => layer.Block))
                cells[i, columns[cell.Key]] = largest ? cell.Max(layer => value(layer)!.Value) : cell.Average(layer => value(layer)!.Value);
        }
        string[] names = Short([.. rows.Select(row => row.Key)]);
        var map = new HeatCells(names, blocks, cells, (row, column) => $"block {blocks[column]}, {rows[row].Key}: {format(cells[row, column])}") { MarksLargest = largest };
        LayerFigures? worst = largest ? layers.Where(layer => value(layer) is { } number && double.IsFinite(number)).MaxBy(layer => value(layer)) : null;
        string more = worst is null ? "" : $" Largest: block {worst.Block}, {Figure.Short(worst.Name, 60)}, {format(value(worst)!.Value)}.";
        sheet.Figure(id => HeatMap.Draw(new ChartFrame(title, "block", title) { Id = id }, map, format), title, $"{char.ToUpperInvariant(caption[0])}{caption[1..]}.{more}", null);
    }

    private static void Tensors(Sheet sheet, LayerFigures[] layers)
    {
        bool alone = layers.Any(layer => layer.Loss is not null), typed = layers.Any(layer => layer.Tensor is not null), outputs = layers.Any(layer => layer.Layer is not null);
        List<Column> columns = [new("layer"), new("block")];
        if (typed) columns.AddRange([new("type", IsWord: true), new("shape")]);
        columns.AddRange([new("bits per weight"), new("rank")]);
        if (alone) columns.Add(new("KL alone, nats"));
        if (outputs) columns.AddRange([new("output error, rounded"), new("output error")]);
        if (typed) columns.AddRange([new("weight error"), new("clipped")]);
        sheet.Heading("Every quantized layer");
        sheet.Add(new Table(
            "Quantized layers. Errors are relative: of outputs on the calibration windows where the method works layer by layer, of weights as stored. Clipped: weights beyond the ends of their grid by more than half a step.", columns, [.. layers.Select(Row)])
        { Sorts = true });

        Cell[] Row(LayerFigures layer)
        {
            List<Cell> row = [Figure.Short(layer.Name, 120), new($"{layer.Block}", layer.Block)];
            if (typed) row.AddRange([Figure.Short(layer.Tensor?.Type, 60), new(layer.Tensor is { } tensor ? $"{tensor.Rows} × {tensor.Columns}" : Figure.Absent, layer.Tensor is { } shape ? (double)shape.Rows * shape.Columns : null)]);
            row.AddRange([new(Figure.Bits(layer.Bits), layer.Bits), new(Figure.Count(layer.Rank), layer.Rank)]);
            if (alone) row.Add(new(Figure.Number(layer.Loss?.KlDivergence, 3), layer.Loss?.KlDivergence));
            if (outputs) row.AddRange([new(Figure.Number(layer.Layer?.ErrorBefore, 3), layer.Layer?.ErrorBefore), new(Figure.Number(layer.Layer?.ErrorAfter, 3), layer.Layer?.ErrorAfter)]);
            if (typed) row.AddRange([new(Figure.Number(layer.Tensor?.Error, 3), layer.Tensor?.Error), new(Figure.SmallShare(layer.Tensor?.Clipped), layer.Tensor?.Clipped)]);
            return [.. row];
        }
    }

    private static void Inputs(Sheet sheet, RunReport report)
    {
        (int Block, SiteReport Site)[] worst = [.. report.Blocks.SelectMany(block => block.Activations.Select(site => (block.Index, site))).OrderByDescending(pair => pair.site.Error).Take(WorstInputs)];
        if (worst.Length == 0) return;
        sheet.Heading("Quantized inputs that lose most");
        sheet.Add(new Table("The error is that of the rounded input over the length of the input, on calibration windows.", [new("input of"), new("block"), new("grid", IsWord: true), new("step"), new("error")],
            [.. worst.Select(one => new Cell[] { Figure.Short(one.Site.Name, 100), new($"{one.Block}", one.Block), Figure.Short(one.Site.Grid, 60), Figure.Number(one.Site.Step), new(Figure.Number(one.Site.Error), one.Site.Error) })])
        { Sorts = true });
    }

    private static LayerFigures[] Join(RunReport report)
    {
        var layers = new Dictionary<(int, string), LayerFigures>();
        LayerFigures At(int block, string name) => layers.TryGetValue((block, name), out LayerFigures? known) ? known : new LayerFigures(block, name);
        foreach (TensorReport tensor in report.Tensors) layers[(tensor.Block, tensor.Name)] = At(tensor.Block, tensor.Name) with { Tensor = tensor };
        foreach (BlockReport block in report.Blocks)
        {
            foreach (LayerReport layer in block.Layers) layers[(block.Index, layer.Name)] = At(block.Index, layer.Name) with { Layer = layer };
        }
        foreach (ModuleLoss loss in report.Result?.Depth?.Modules ?? []) layers[(loss.Block, loss.Module)] = At(loss.Block, loss.Module) with { Loss = loss };
        return [.. layers.Values];
    }

    /// <summary>The last parts of names, as many as tell them apart.</summary>
    private static string[] Short(string[] names)
    {
        for (int parts = 1; parts < 6; parts++)
        {
            string[] tails = [.. names.Select(name => string.Join('.', name.Split('.')[^Math.Min(parts, name.Split('.').Length)..]))];
            if (tails.Distinct().Count() == names.Distinct().Count()) return tails;
        }
        return names;
    }

    [GeneratedRegex("[0-9]+")]
    private static partial Regex Digits();
}

using LowRankQuant.Quantization.Storage;
using LowRankQuant.Runs.Reports.Charts;

namespace LowRankQuant.Runs.Reports.Html;

/// <summary>Blocks: what each loses on calibration and on held-out windows, and what it took in time and memory.</summary>
internal static class BlockPart
{
    private const int MostBlocks = 512;

    /// <summary>Writes it.</summary>
    public static void Write(Sheet sheet, RunReport report)
    {
        BlockReport[] blocks = [.. report.Blocks.Take(MostBlocks)];
        sheet.Part("blocks", "Blocks, time and memory", () =>
        {
            if (report.OwnBlocks.Count > 0) sheet.Say($"In a way of their own: {string.Join("; ", report.OwnBlocks.Take(40))}.");
            if (report.Precision is { } precision) sheet.Say($"Blocks were run and learned with products of linears in {precision}; everything measured is fp32.");
            if (report.Tuning is { } tuning)
                sheet.Say($"The whole model was tuned: KL divergence on the {tuning.Measured} {Figure.Number(tuning.Before)} before, {Figure.Number(tuning.After)} after; step {tuning.KeptStep} of {tuning.Steps} was kept. Figures of blocks and layers are those before it.");
            sheet.Figures(() =>
            {
                Losses(sheet, blocks);
                if (blocks.Length > 1) Cost(sheet, blocks);
            });
            if (blocks.Length > 0) Blocks(sheet, blocks);
            sheet.Say($"In all {Figure.Duration(report.Seconds)}, peak memory {Figure.Bytes(report.PeakMemoryBytes)}, measuring included.");
        });
    }

    private static void Losses(Sheet sheet, BlockReport[] blocks)
    {
        ChartLine[] lines =
        [
            Of("calibration, rounded", 0, block => block.LossBefore, isDashed: true), Of("calibration, learned", 0, block => block.LossAfter),
            Of("held-out, rounded", 1, block => block.HeldOutLossBefore, isDashed: true), Of("held-out, learned", 1, block => block.HeldOutLoss),
        ];
        if (lines.All(line => line.Points.Count == 0)) return;
        sheet.Figure(id => LineChart.Draw(new ChartFrame("Loss of every block", "block", "loss of the block's output (logarithmic)") { Id = id, IsWhole = true, Height = 240 }, lines),
            "Loss of every block", "Solid: as stored; dashed: rounded to nearest at the start. Held-out windows are those that no block has learned from; a gap to the calibration windows is what was learned by heart.", null);

        ChartLine Of(string name, int series, Func<BlockReport, double?> loss, bool isDashed = false) => new(
            name, [.. blocks.Where(block => loss(block) is not null).Select(block => new ChartPoint(block.Index, loss(block)!.Value, $"block {block.Index}, {name}: {Figure.Number(loss(block))}"))], isDashed)
        { Series = series };
    }

    private static void Cost(Sheet sheet, BlockReport[] blocks)
    {
        ChartLine seconds = new("seconds", [.. blocks.Select(block => new ChartPoint(block.Index, block.Seconds, $"block {block.Index}: {Figure.Duration(block.Seconds)}"))]);
        sheet.Figure(id => LineChart.Draw(new ChartFrame("Time of every block", "block", "seconds") { Id = id, IsWhole = true, IsLogarithmic = false, FromZero = true, Height = 200 }, [seconds]), "Time of every block", "Seconds of work.", null);
        if (blocks.All(block => block.PeakMemoryBytes is null)) return;
        ChartLine memory = new("memory", [.. blocks.Where(block => block.PeakMemoryBytes is not null).Select(block => new ChartPoint(block.Index, block.PeakMemoryBytes!.Value / 1048576.0, $"block {block.Index}: {Figure.Bytes(block.PeakMemoryBytes)}"))]);
        sheet.Figure(id => LineChart.Draw(new ChartFrame("Peak memory of every block", "block", "resident memory, MiB") { Id = id, IsWhole = true, IsLogarithmic = false, FromZero = true, Height = 200 }, [memory]), "Peak memory of every block", "Flat where memory does not grow with the blocks that are done.", null);
    }

    private static void Blocks(Sheet sheet, BlockReport[] blocks)
    {
        bool learned = blocks.Any(block => block.LossAfter is not null || block.HeldOutLoss is not null);
        Column[] columns = learned
            ? [new("block"), new("loss before"), new("loss after"), new("held-out before"), new("held-out after"), new("time"), new("peak memory")]
            : [new("block"), new("time"), new("peak memory")];
        sheet.Body.Add($"<details><summary>Figures of every block</summary>");
        sheet.Add(new Table("Losses are those of the block's output as its method counts them.", columns, [.. blocks.Select(Row)]) { Sorts = true });
        sheet.Body.Add($"</details>");

        Cell[] Row(BlockReport block)
        {
            List<Cell> row = [new($"{block.Index}", block.Index)];
            if (learned) row.AddRange([Loss(block.LossBefore), Loss(block.LossAfter), Loss(block.HeldOutLossBefore), Loss(block.HeldOutLoss)]);
            row.AddRange([new(Figure.Duration(block.Seconds), block.Seconds), new(Figure.Bytes(block.PeakMemoryBytes), block.PeakMemoryBytes)]);
            return [.. row];
        }

        static Cell Loss(double? value) => new(Figure.Number(value), value);
    }
}

namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>A bar.</summary>
/// <param name="Name">What stands in front of it.</param>
/// <param name="Value">Its length; less than 0 counts as 0.</param>
/// <param name="Text">What stands behind it.</param>
/// <param name="Series">Its colour.</param>
internal sealed record Bar(string Name, double Value, string Text, int Series = 0);

/// <summary>Bars that lie, each with its name and its figure, as SVG.</summary>
internal static class BarChart
{
    private const int Row = 26, Top = 26;

    /// <summary>Draws them.</summary>
    /// <param name="frame">What they are drawn on; <see cref="ChartFrame.Up"/> says what they are.</param>
    /// <param name="bars">The bars.</param>
    /// <param name="full">The figure of a whole bar; null for the largest.</param>
    public static Markup Draw(ChartFrame frame, IReadOnlyList<Bar> bars, double? full = null)
    {
        string description = string.Join(" ", bars.Take(20).Select(bar => $"{bar.Name}: {bar.Text}."));
        var picture = new Picture(frame.Id, frame.Width, Top + (Row * bars.Count) + 4, frame.Title, description);
        picture.Text(6, 16, frame.Up, kind: "soft");
        string[] names = [.. bars.Select(bar => Figure.Short(bar.Name, 20))];
        double names0 = Math.Min(160, names.Select(name => Figure.Width(name)).DefaultIfEmpty(0).Max()) + 14, texts = bars.Select(bar => Figure.Width(bar.Text)).DefaultIfEmpty(0).Max() + 12;
        double room = Math.Max(20, frame.Width - names0 - texts), largest = full ?? bars.Select(bar => Length(bar.Value)).DefaultIfEmpty(0).Max();
        for (int i = 0; i < bars.Count; i++)
        {
            double y = Top + (i * Row), length = largest > 0 ? Math.Min(1, Length(bars[i].Value) / largest) * room : 0;
            picture.Text(names0 - 8, y + 17, names[i], "end");
            picture.Rectangle(names0, y + 5, room, 16, "track");
            picture.Rectangle(names0, y + 5, length, 16, $"fill s{bars[i].Series % 8}", $"{bars[i].Name}: {bars[i].Text}");
            picture.Text(frame.Width - 4, y + 17, bars[i].Text, "end");
        }
        return picture.End();
    }

    private static double Length(double value) => double.IsFinite(value) && value > 0 && value < 1e100 ? value : 0;
}

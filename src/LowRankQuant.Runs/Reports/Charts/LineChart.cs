namespace LowRankQuant.Runs.Reports.Charts;

/// <summary>A point of a line.</summary>
/// <param name="X">Along the chart.</param>
/// <param name="Y">The figure.</param>
/// <param name="Text">What hovering over it shows.</param>
internal readonly record struct ChartPoint(double X, double Y, string Text);

/// <summary>A line of a chart.</summary>
/// <param name="Name">Lines of one name have one colour and one place in the legend.</param>
/// <param name="Points">From left to right.</param>
/// <param name="IsDashed">Whether it is dashed.</param>
internal sealed record ChartLine(string Name, IReadOnlyList<ChartPoint> Points, bool IsDashed = false)
{
    /// <summary>Its colour and shape; null for that of its name.</summary>
    public int? Series { get; init; }
}

/// <summary>What a chart is drawn on.</summary>
/// <param name="Title">What is drawn.</param>
/// <param name="Along">What the axis along counts.</param>
/// <param name="Up">What the axis upwards counts.</param>
internal sealed record ChartFrame(string Title, string Along, string Up)
{
    /// <summary>Id within a page; null for a picture that is a file of its own.</summary>
    public string? Id { get; init; }

    /// <summary>Whether the figures are on a scale of logarithms, which has no place for 0.</summary>
    public bool IsLogarithmic { get; init; } = true;

    /// <summary>Whether positions along are whole numbers, such as blocks.</summary>
    public bool IsWhole { get; init; }

    /// <summary>Whether a scale of even steps begins at 0.</summary>
    public bool FromZero { get; init; }

    /// <summary>Width of the picture.</summary>
    public int Width { get; init; } = Picture.PageWidth;

    /// <summary>Height without the legend.</summary>
    public int Height { get; init; } = 250;
}

/// <summary>Lines as SVG. Hovering over a point names it.</summary>
internal static class LineChart
{
    private const int Left = 56, Right = 14, Top = 30, Bottom = 40, MostMarks = 40, MostMarksOfAll = 120;

    /// <summary>Draws them.</summary>
    /// <param name="frame">What they are drawn on.</param>
    /// <param name="lines">The lines; those without points are left out, and so are figures that have no place on the scale.</param>
    public static Markup Draw(ChartFrame frame, IReadOnlyList<ChartLine> lines)
    {
        ChartLine[] drawn = [.. lines.Select(line => line with { Points = [.. line.Points.Where(point => HasPlace(frame, point))] }).Where(line => line.Points.Count > 0)];
        string[] names = [.. drawn.Select(line => line.Name).Distinct()];
        bool named = names.Length > 1;
        int legend = named ? Picture.LegendLine * Picture.LegendLines(names, frame.Width) : 0, height = frame.Height + legend;
        var picture = new Picture(frame.Id, frame.Width, height, frame.Title, Describe(frame, drawn));
        if (frame.Id is null) picture.Text(6, 16, frame.Title, kind: "strong");
        else picture.Text(6, 16, frame.Up, kind: "soft");
        double top = Top + legend, bottom = height - Bottom;
        if (named) picture.Legend(Top + 8, names.Select((name, i) => (name, drawn.First(line => line.Name == name).Series ?? i, drawn.Where(line => line.Name == name).All(line => line.IsDashed))));
        if (drawn.Length == 0) return picture.End();
        ChartPoint[] points = [.. drawn.SelectMany(line => line.Points)];
        Scale along = frame.IsWhole
            ? Scale.Whole((int)points.Min(point => point.X), (int)points.Max(point => point.X), Left, frame.Width - Right)
            : Scale.Linear(points.Select(point => point.X), Left, frame.Width - Right);
        Scale up = frame.IsLogarithmic ? Scale.Logarithmic(points.Select(point => point.Y), bottom, top) : Scale.Linear(points.Select(point => point.Y), bottom, top, frame.FromZero);
        Axes(picture, along, up, frame);
        // Where marks would hide whether a line is dashed, the line alone tells.
        bool marked = drawn.Max(line => line.Points.Count) <= MostMarks && points.Length <= MostMarksOfAll;
        foreach (ChartLine line in drawn)
        {
            int series = line.Series ?? Array.IndexOf(names, line.Name);
            if (line.Points.Count > 1) picture.Path(line.Points.Select(point => (along[point.X], up[point.Y])), $"line s{series % 8}{(line.IsDashed ? " dashed" : "")}");
            foreach (ChartPoint point in line.Points) picture.Point(along[point.X], up[point.Y], series, point.Text, marked ? line.IsDashed ? 2.5 : 4 : 1.5);
        }
        return picture.End();
    }

    /// <summary>Lines and numbers of both axes.</summary>
    public static void Axes(Picture picture, Scale along, Scale up, ChartFrame frame)
    {
        double bottom = picture.Height - Bottom, right = picture.Width - Right;
        foreach (double tick in up.Ticks)
        {
            picture.Line(Left, up[tick], right, up[tick], "grid");
            picture.TryText(Left - 6, up[tick] + 4, Scale.Label(tick), "end", "soft");
        }
        picture.Line(Left, bottom, right, bottom, "axis");
        foreach (double tick in along.Ticks)
        {
            picture.Line(along[tick], bottom, along[tick], bottom + 4, "axis");
            string label = Scale.Label(tick);
            double half = Figure.Width(label) / 2;
            picture.TryText(Math.Min(along[tick], picture.Width - half - 3), bottom + 17, label, "middle", "soft");
        }
        picture.Text((Left + right) / 2, picture.Height - 6, frame.Along, "middle", "soft");
    }

    private static bool HasPlace(ChartFrame frame, ChartPoint point) => double.IsFinite(point.X) && double.IsFinite(point.Y) && Math.Abs(point.X) < 1e9 && Math.Abs(point.Y) < 1e100 && (!frame.IsLogarithmic || point.Y > 0);

    private static string Describe(ChartFrame frame, ChartLine[] lines) => lines.Length == 0 ? "Nothing to draw." : string.Join(" ", lines.Take(8).Select(line =>
        $"{line.Name}: {Figure.Number(line.Points[0].Y)} at {frame.Along} {Scale.Label(line.Points[0].X)}, {Figure.Number(line.Points[^1].Y)} at {Scale.Label(line.Points[^1].X)}."));
}
